import type { RotationEvent } from '../../../src/admin/keys/rotate/events.ts'
import { Journal } from '../../../src/admin/keys/rotate/journal.ts'
import type { RotationPorts } from '../../../src/admin/keys/rotate/ports.ts'
import { rotateKeys, type RotationOutcome } from '../../../src/admin/keys/rotate/rotate.ts'
import { Proofs } from '../../../src/admin/keys/proofs.ts'
import { LatchkeyError } from '../../../src/base/errors.ts'
import type { Annex } from '../../../src/keyring/annex.ts'
import { createKeyring } from '../../../src/keyring/generations.ts'
import type { Keyring } from '../../../src/keyring/keyring.ts'
import { loadRevision } from '../../../src/keyring/load.ts'
import type { RootKey } from '../../../src/keyring/root.ts'
import { deps, newRoot } from '../keyrings.ts'
import { memoryAnnex, type AnnexMemory } from '../memory-annex.ts'
import { emptyMemory, memoryKeyringStore } from '../memory-keyring-store.ts'

/** A control plane of the model: a plugin with the keyring it has loaded, and its API server. */
export interface Node {
  readonly name: string
  /** Sees no new keyring while it is. */
  partitioned: boolean
  /** Not to be reached through the API while it is. */
  serverDown: boolean
  digest: string
  /** Keys that its plugin can decrypt with. */
  keys: ReadonlySet<string>
  /** What its plugin encrypts with. */
  pluginKey: string
  /** What its API server writes with; follows the plugin a second later. */
  serverKey: string
}

/** The rotating program is killed. */
export class Killed extends Error {}

/** A whole cluster in memory, in which time passes when somebody sleeps. */
export class World {
  readonly nodes: Node[]
  /** Name of each object, and the key that it is under. */
  readonly objects = new Map<string, string>()
  /** Objects that no migration can rewrite. */
  readonly stuck = new Set<string>()
  readonly events: RotationEvent[] = []
  /** What went wrong that must never. */
  readonly violations: string[] = []
  /** How many more things may happen before the program is killed. */
  lifetime = Infinity
  /** How often each port fails before it works, for outages. */
  outages = 0
  onSleep: (() => void) | undefined
  readonly #store = memoryKeyringStore(emptyMemory())
  readonly #annex: AnnexMemory = { entries: new Map(), locks: new Set() }
  readonly #root: RootKey = newRoot()
  #nowMs = 0
  #writes = 0

  private constructor(count: number) {
    this.nodes = Array.from({ length: count }, (_, index) => ({
      name: `cp-${index + 1}`,
      partitioned: false,
      serverDown: false,
      digest: '',
      keys: new Set<string>(),
      pluginKey: '',
      serverKey: '',
    }))
  }

  /** `count` nodes that have all loaded a keyring of one key, and ten objects. */
  static async create(count = 3): Promise<World> {
    const world = new World(count)
    const { bytes } = await createKeyring({ clusterId: 'test', roots: [world.#root] }, deps)
    await world.#store.publish(bytes, { replaces: undefined })
    await world.pass()
    await world.pass()
    for (let index = 0; index < 10; index += 1) world.write()
    return world
  }

  get annex(): Annex {
    return memoryAnnex(this.#annex)
  }

  /** What the keyring is now; disposed of by the caller. */
  async keyring(): Promise<Keyring> {
    return (await this.#load()).keyring
  }

  async states(): Promise<readonly string[]> {
    using keyring = await this.keyring()
    return keyring.keys.map(({ state }) => state)
  }

  /** Some client writes an object through some API server. */
  write(): void {
    const node = this.nodes[this.#writes % this.nodes.length]
    this.#writes += 1
    if (node === undefined || node.serverDown) return
    for (const other of this.nodes) {
      if (!other.keys.has(node.serverKey)) {
        this.violations.push(`${node.name} writes with a key that ${other.name} lacks`)
      }
    }
    this.objects.set(`secrets/shop/${this.#writes % 25}`, node.serverKey)
  }

  /** A second goes by: plugins load, API servers ask their plugin, clients write. */
  async pass(): Promise<void> {
    this.#nowMs += 1000
    using keyring = await this.keyring()
    for (const node of this.nodes) {
      if (node.pluginKey !== '') node.serverKey = node.pluginKey
      if (node.partitioned) continue
      node.digest = keyring.digest
      node.keys = new Set(
        keyring.keys.filter(({ state }) => state !== 'destroyed').map(({ id }) => id),
      )
      node.pluginKey = keyring.active.id
      if (node.serverKey === '') node.serverKey = node.pluginKey
    }
    this.write()
    this.onSleep?.()
  }

  /** Runs the rotation until it ends or is killed. */
  async rotate(
    options: {
      readonly accepted?: readonly string[]
      readonly agree?: () => Promise<void>
      readonly timeoutMs?: number
      readonly ports?: Partial<RotationPorts>
    } = {},
  ): Promise<RotationOutcome> {
    return await rotateKeys(
      { ...this.ports(), ...options.ports },
      {
        timeoutMs: options.timeoutMs ?? 30_000,
        requestTimeoutMs: 5_000,
        accepted: new Set(options.accepted ?? []),
        make: deps,
        random: deps.random,
        agree: options.agree ?? (async () => undefined),
        signal: new AbortController().signal,
      },
    )
  }

  /** The ports of a program that lives as long as {@link World.lifetime} says. */
  ports(): RotationPorts {
    const annex = this.annex
    const journal: Annex = {
      ...annex,
      create: async (...args) => await this.#happens(() => annex.create(...args)),
    }
    return {
      keyring: {
        open: async () => {
          this.#outage('ERR_ETCD_UNAVAILABLE')
          const { keyring, revision } = await this.#load()
          return {
            store: this.#store,
            keyring,
            revision,
            [Symbol.dispose]: () => {
              keyring[Symbol.dispose]()
            },
          }
        },
        commit: async (current, { document }) => {
          await this.#happens(async () => {
            await this.#store.publish(document.bytes, { replaces: current.revision })
            await this.#checkCommit(current.keyring)
          })
        },
      },
      membership: {
        check: async ({ digest, generation }) => ({
          members: this.nodes.map((node) => ({
            name: node.name,
            ready: node.digest === digest,
            alive: !node.partitioned,
            generation: node.digest === digest ? generation : undefined,
          })),
          revision: undefined,
        }),
      },
      servers: {
        discover: async () => {
          const up = this.nodes.filter(({ serverDown }) => !serverDown)
          const down = this.nodes.filter(({ serverDown }) => serverDown)
          return {
            servers: up.map(({ name }) => ({ id: name, name, url: `https://${name}` })),
            missing: down.map(({ name }) => ({ id: name, name, reason: 'did not answer' })),
          }
        },
      },
      canaries: {
        write: async ({ id }) => {
          this.#outage('ERR_KUBERNETES_UNAVAILABLE')
          const node = this.nodes.find(({ name }) => name === id)
          return [{ resource: 'secrets', provider: 'kms:v2:latchkey', keyId: node?.serverKey }]
        },
        remove: async () => undefined,
      },
      storage: {
        scan: async (keyIds) => {
          this.#outage('ERR_ETCD_UNAVAILABLE')
          const needing = [...this.objects].filter(([, keyId]) => keyIds.has(keyId))
          const used = new Map<string, number>()
          for (const keyId of this.objects.values()) used.set(keyId, (used.get(keyId) ?? 0) + 1)
          return {
            revision: this.#writes,
            clusters: [{ id: '1', revision: this.#writes }],
            objects: this.objects.size,
            uses: [...used].map(([keyId, objects]) => ({
              resource: 'secrets',
              provider: 'kms:v2:latchkey',
              keyId,
              objects,
            })),
            needing: needing.map(([name]) => name),
            needingCount: needing.length,
            undecodable: 0,
            unknownV1: 0,
          }
        },
      },
      migrator: {
        migrate: async ({ keyIds }, { servers }) => {
          this.#outage('ERR_KUBERNETES_UNAVAILABLE')
          const key = this.nodes.find(({ name }) => name === servers[0]?.id)?.serverKey ?? ''
          const stuck = []
          let rewritten = 0
          for (const [name, keyId] of this.objects) {
            if (!keyIds.has(keyId)) continue
            await this.#happens(async () => undefined)
            if (this.stuck.has(name)) {
              stuck.push({ name, cause: 'admission', remedy: 'exempt it' })
              continue
            }
            this.objects.set(name, key)
            rewritten += 1
          }
          return { rewritten, stuck }
        },
      },
      proofs: new Proofs(journal, () => this.#nowMs),
      journal: new Journal(journal, () => this.#nowMs),
      clock: {
        now: () => this.#nowMs,
        monotonicMs: () => this.#nowMs,
        sleep: async (ms) => {
          const end = this.#nowMs + ms
          do await this.pass()
          while (this.#nowMs < end)
        },
      },
      jitter: () => 0,
      tell: (event) => {
        this.events.push(event)
      },
    }
  }

  #load(): ReturnType<typeof loadRevision> {
    return loadRevision(this.#store, { roots: [this.#root], mark: undefined })
  }

  /** Something that changes the world; the program may be killed before and after it. */
  async #happens<T>(change: () => Promise<T>): Promise<T> {
    this.#spend()
    const result = await change()
    this.#spend()
    return result
  }

  #spend(): void {
    this.lifetime -= 1
    if (this.lifetime < 0) throw new Killed('killed')
  }

  #outage(code: 'ERR_ETCD_UNAVAILABLE' | 'ERR_KUBERNETES_UNAVAILABLE'): void {
    if (this.outages <= 0) return
    this.outages -= 1
    throw new LatchkeyError(code, 'nobody answers')
  }

  async #checkCommit(before: Keyring): Promise<void> {
    using after = await this.keyring()
    if (after.active.id !== before.active.id) {
      for (const { name, keys } of this.nodes) {
        if (!keys.has(after.active.id)) this.violations.push(`activated without ${name}`)
      }
    }
    for (const [name, keyId] of this.objects) {
      if (after.find(keyId)?.state === 'destroyed') this.violations.push(`${name} is lost`)
    }
  }
}
