import { readdir, readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import type { JsonObject } from '../../src/injection/pod/json.ts'
import type { InjectionContext } from '../../src/webhook/inject/inject.ts'
import type { PatchOperation } from '../../src/webhook/inject/json-patch.ts'
import type { NamespaceFacts, SidecarSettings } from '../../src/webhook/settings.ts'

/** An operator's settings as the install has them. */
export const settings: SidecarSettings = {
  uid: 64999,
  gid: 64999,
  preferFsGroup: false,
  image: 'latchkey',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  broker: { host: 'latchkey-broker.latchkey-system.svc', port: 24443 },
  audience: 'latchkey',
  tokenSeconds: 3600,
  requests: { cpu: '5m', memory: '24Mi' },
  limits: { memory: '96Mi' },
  volumeBytesPerEntry: 4 * 2 ** 20,
  healthPort: 24442,
  hostPorts: { first: 25_000, count: 4_000 },
  mesh: 'exclude',
  logLevel: 'info',
  metricsPort: undefined,
  maxStale: undefined,
}

/** A namespace of which nothing special is known. */
export const plainNamespace: NamespaceFacts = { labels: {}, annotations: {} }

/** What stands for a certificate in vectors. */
export const vectorCa = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

/** A pod before and after. */
export interface InjectionVector {
  readonly name: string
  readonly title: string
  readonly settings?: Partial<SidecarSettings>
  readonly namespace?: NamespaceFacts
  readonly pod: JsonObject
  readonly patch: readonly PatchOperation[]
  readonly warnings: readonly string[]
}

const directory = new URL('../vectors/injection/', import.meta.url)

/** Where a vector is. */
export function vectorFile(name: string): URL {
  return new URL(`${name}.yaml`, directory)
}

/** Every vector of `test/vectors/injection`. */
export async function injectionVectors(): Promise<readonly InjectionVector[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.yaml')).sort()
  return await Promise.all(
    files.map(async (file) => ({
      ...(parse(await readFile(new URL(file, directory), 'utf8')) as InjectionVector),
      name: file.replace('.yaml', ''),
    })),
  )
}

/** What a vector's pod is injected with. */
export function contextOf(
  vector: Pick<InjectionVector, 'settings' | 'namespace'>,
): InjectionContext {
  return {
    settings: { ...settings, ...vector.settings },
    ca: vectorCa,
    namespace: 'shop',
    namespaceFacts: vector.namespace ?? plainNamespace,
  }
}
