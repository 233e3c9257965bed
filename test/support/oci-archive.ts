import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { readTar, type TarEntry } from './tar.ts'

/** A reference to content by its digest. */
interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** What an OCI archive with one image says of it. */
export interface OciImage {
  /** Names it is to have, from the index's annotations. */
  readonly name: string
  readonly tag: string
  /** Digest of the manifest. */
  readonly digest: string
  readonly platform: { readonly architecture: string; readonly os: string }
  readonly config: {
    readonly User: string
    readonly Env: readonly string[]
    readonly Cmd: readonly string[]
    readonly WorkingDir: string
  }
  /** What each layer holds, lowest first. */
  readonly layers: readonly (readonly TarEntry[])[]
}

/**
 * Reads an OCI image layout in a tar, and checks what the specification demands: every descriptor's
 * size and digest, the uncompressed layers' digests, and that there is no content beside them.
 */
export function readOciArchive(bytes: Buffer): OciImage {
  const files = new Map<string, Buffer>()
  for (const { path, type, content } of readTar(bytes)) {
    if (type === 'file') files.set(path, content)
  }
  const take = (path: string): Buffer => {
    const found = files.get(path)
    if (found === undefined) throw new Error(`the archive has no ${path}`)
    files.delete(path)
    return found
  }
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const content = take(`blobs/${digest.replace(':', '/')}`)
    if (content.byteLength !== size) throw new Error(`${digest} has another size`)
    if (sha256(content) !== digest) throw new Error(`${digest} has another digest`)
    return content
  }
  const parse = (content: Buffer): unknown => JSON.parse(content.toString())
  const { imageLayoutVersion } = parse(take('oci-layout')) as { imageLayoutVersion: string }
  if (imageLayoutVersion !== '1.0.0') throw new Error(`layout version ${imageLayoutVersion}`)
  const index = parse(take('index.json')) as {
    schemaVersion: number
    mediaType: string
    manifests: readonly (Descriptor & {
      readonly platform: OciImage['platform']
      readonly annotations: Readonly<Record<string, string>>
    })[]
  }
  const [entry, ...others] = index.manifests
  if (entry === undefined || others.length > 0) throw new Error('not one image')
  const manifest = parse(blob(entry)) as {
    schemaVersion: number
    mediaType: string
    config: Descriptor
    layers: readonly Descriptor[]
  }
  if (index.schemaVersion !== 2 || manifest.schemaVersion !== 2) throw new Error('schema version')
  if (manifest.mediaType !== entry.mediaType) throw new Error('media types disagree')
  const config = parse(blob(manifest.config)) as {
    architecture: string
    os: string
    config: OciImage['config']
    rootfs: { type: string; diff_ids: readonly string[] }
    history: readonly unknown[]
  }
  const layers = manifest.layers.map((layer) => gunzipSync(blob(layer)))
  if (layers.map(sha256).join() !== config.rootfs.diff_ids.join()) throw new Error('diff_ids')
  if (config.history.length !== layers.length) throw new Error('history')
  if (
    `${config.architecture}/${config.os}` !== `${entry.platform.architecture}/${entry.platform.os}`
  )
    throw new Error('platforms disagree')
  if (files.size > 0) throw new Error(`nothing refers to ${[...files.keys()].join()}`)
  return {
    name: entry.annotations['io.containerd.image.name'] ?? '',
    tag: entry.annotations['org.opencontainers.image.ref.name'] ?? '',
    digest: entry.digest,
    platform: entry.platform,
    config: config.config,
    layers: layers.map((layer) => readTar(layer)),
  }
}

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
