import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, type Layer } from './layer.ts'
import { type ContainerSettings, settings } from './settings.ts'
import { pack } from './tar.ts'

/** A reference to content by its digest (OCI image specification, descriptor.md). */
interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const
// Part of the digest, and so the same for all.
const created = '1970-01-01T00:00:00Z'
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/**
 * Writes an OCI image layout with one image as a tar to `file`, and resolves with the digest of the
 * image's manifest. `scratch` is a directory for what comes in between.
 *
 * @throws Error on a processor for which Node.js's npm package has no Linux build.
 */
export async function writeArchive(
  file: string,
  options: {
    /** As `localhost/latchkey:dev`. */
    readonly name: string
    readonly layers: readonly Layer[]
    readonly scratch: string
    /** As Node.js names it; default: this machine's. */
    readonly architecture?: string
    /** What a container runs as; default: as our image says. */
    readonly settings?: ContainerSettings
  },
): Promise<{ readonly digest: string }> {
  const { name, layers, architecture: machine = process.arch } = options
  const architecture = architectures[machine]
  if (architecture === undefined) throw new Error(`images for ${machine} are not made`)
  const tag = /:([\w][\w.-]{0,127})$/.exec(name)?.[1]
  if (tag === undefined) throw new Error(`an image's name ends with a tag, as in ${name}:dev`)
  const platform = { architecture, os: 'linux' }

  const layout = join(options.scratch, 'layout')
  const blobs = join(layout, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (mediaType: string, bytes: Uint8Array): Promise<Descriptor> => {
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digest.slice('sha256:'.length)), bytes, { mode: 0o644 })
    return { mediaType, digest, size: bytes.byteLength }
  }
  const config = await put(
    mediaTypes.config,
    json({
      created,
      ...platform,
      config: options.settings ?? settings,
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(({ what }) => ({ created, created_by: what })),
    }),
  )
  const descriptors: Descriptor[] = []
  for (const { bytes } of layers) descriptors.push(await put(mediaTypes.layer, bytes))
  const manifest = await put(
    mediaTypes.manifest,
    json({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: descriptors }),
  )
  const annotations = {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': tag,
  }
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ ...manifest, platform, annotations }],
  }
  await writeFile(join(layout, 'index.json'), json(index))
  await writeFile(join(layout, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  await pack(layout, `${file}.new`)
  await rename(`${file}.new`, file)
  return { digest: manifest.digest }
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
