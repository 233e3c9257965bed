import type { ExecutionContext } from 'ava'
import * as http from 'node:http'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterAccess } from '../../src/clients/kubernetes-access.ts'
import { applyJsonPatch } from './apply-json-patch.ts'
import { listenAgain } from './listen-again.ts'
import { covers, isSelected } from './selection.ts'

/** An API object. */
export interface FakeObject {
  readonly metadata: { readonly name: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

type Json = Readonly<Record<string, unknown>>

const notFound = { kind: 'Status', code: 404, reason: 'NotFound' }

/** A request that the fake has seen. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: Json
  readonly authorization: string | undefined
}

/**
 * A Kubernetes API server as far as this project's client needs one, over real HTTP on loopback:
 * collections with list (paged), get, create, watch (with bookmarks and history), TokenReview and
 * SubjectAccessReview, answered by functions that a test may replace.
 */
export class FakeKubernetes {
  /** Answers TokenReviews: `status` of the answer. */
  reviewToken: (spec: Json) => Json = () => ({ authenticated: false })
  /** Answers SubjectAccessReviews. */
  allow: (spec: Json) => boolean = () => false
  /** Called before each request is answered; what it returns is the status to fail with. */
  fault: (request: SeenRequest) => number | 'hang' | undefined = () => undefined
  /** Requests that something before the server answers: 404, and a page of its own. */
  stray: (request: SeenRequest) => boolean = () => false
  /** Answers TokenRequests with a token; without one there is no such account. */
  issueToken: (
    account: { readonly namespace: string; readonly name: string },
    spec: Json,
  ) => string | undefined = () => undefined
  /** Takes over requests for another protocol, such as port-forwards. */
  upgrade: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void = (_, socket) => {
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
  }
  readonly seen: SeenRequest[] = []
  readonly #upgraded = new Set<Duplex>()
  #version = 100
  #oldest = 0
  readonly #objects = new Map<string, Map<string, FakeObject>>()
  #history: { readonly version: number; readonly path: string; readonly event: Json }[] = []
  readonly #watches = new Set<{
    readonly path: string
    readonly send: (event: Json) => void
    readonly end: (how: 'in order' | 'cut') => void
  }>()
  readonly #server: http.Server
  #url = ''

  constructor(tls?: https.ServerOptions) {
    const handler = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      this.#handle(request, response).catch(() => response.destroy())
    }
    this.#server = tls === undefined ? http.createServer(handler) : https.createServer(tls, handler)
    this.#server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
      this.#upgrade(request, socket, head)
    })
  }

  get url(): string {
    return this.#url
  }

  get access(): ClusterAccess {
    return {
      server: new URL(this.#url),
      serverName: undefined,
      credentials: async () => ({
        ca: undefined,
        cert: undefined,
        key: undefined,
        token: 'broker',
      }),
    }
  }

  /** Listens; on the same port again after {@link FakeKubernetes.stop}. */
  async start(): Promise<void> {
    const port = this.#url === '' ? 0 : Number(new URL(this.#url).port)
    await listenAgain(this.#server, port)
    const { port: bound } = this.#server.address() as AddressInfo
    this.#url = `${this.#server instanceof https.Server ? 'https' : 'http'}://127.0.0.1:${bound}`
  }

  /** Goes down, as a process does that is killed: every connection breaks. */
  async stop(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve)
      this.#server.closeAllConnections()
      for (const socket of this.#upgraded) socket.destroy()
    })
  }

  /** Creates or replaces an object of the collection at `path`; returns its resource version. */
  put(path: string, object: FakeObject): number {
    const collection = this.#objects.get(path) ?? new Map<string, FakeObject>()
    this.#objects.set(path, collection)
    const former = collection.get(object.metadata.name)
    const version = (this.#version += 1)
    const stored = {
      ...object,
      metadata: {
        uid: former?.metadata['uid'] ?? `uid-${object.metadata.name}-${version}`,
        namespace: /namespaces\/([^/]+)\//.exec(path)?.[1],
        ...object.metadata,
        resourceVersion: String(version),
      },
    }
    collection.set(object.metadata.name, stored)
    this.#emit(path, { type: former === undefined ? 'ADDED' : 'MODIFIED', object: stored })
    return version
  }

  get(path: string, name: string): FakeObject | undefined {
    return this.#objects.get(path)?.get(name)
  }

  remove(path: string, name: string): void {
    const object = this.#objects.get(path)?.get(name)
    if (object === undefined) return
    this.#objects.get(path)?.delete(name)
    const version = (this.#version += 1)
    const metadata = { ...object.metadata, resourceVersion: String(version) }
    this.#emit(path, { type: 'DELETED', object: { ...object, metadata } })
  }

  /** Forgets the past, as etcd does when it is compacted: watches from before get 410. */
  compact(): void {
    this.#version += 1
    this.#oldest = this.#version
    this.#history = []
  }

  /** Ends every watch, as the server does when their time is over, or as connections do that are cut. */
  endWatches(how: 'in order' | 'cut' = 'in order'): void {
    for (const watch of [...this.#watches]) watch.end(how)
  }

  get watches(): readonly string[] {
    return [...this.#watches].map(({ path }) => path).sort()
  }

  /** Requests of this method to paths that contain `part`. */
  asked(method: string, part: string): readonly SeenRequest[] {
    return this.seen.filter((it) => it.method === method && it.path.includes(part))
  }

  #emit(path: string, event: Json): void {
    this.#history.push({ version: this.#version, path, event })
    for (const watch of this.#watches) if (covers(watch.path, path)) watch.send(event)
  }

  #see(request: http.IncomingMessage, body: Json): SeenRequest {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '', this.#url)
    const { method = '', headers } = request
    const seen = { method, path, query, body, authorization: headers.authorization }
    this.seen.push(seen)
    return seen
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    const seen = this.#see(request, {})
    this.#upgraded.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#upgraded.delete(socket))
    const fault = this.fault(seen)
    if (fault === undefined) this.upgrade(request, socket, head)
    else if (fault !== 'hang') socket.end(`HTTP/1.1 ${fault} No\r\ncontent-length: 0\r\n\r\n`)
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const seen = this.#see(request, (text === '' ? {} : JSON.parse(text)) as Json)
    const fault = this.fault(seen)
    if (fault === 'hang') {
      await new Promise((resolve) => response.on('close', resolve))
      return
    }
    if (fault !== undefined) {
      answer(response, fault, fault === 404 ? notFound : { kind: 'Status', code: fault })
    } else if (this.stray(seen)) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404 Not Found</h1>')
    } else if (seen.query.get('watch') === 'true')
      this.#watch(seen, { response, accept: request.headers.accept ?? '' })
    else this.#answer(seen, response)
  }

  #answer({ method, path, body, query }: SeenRequest, response: http.ServerResponse): void {
    const spec = body['spec'] as Json
    if (path.endsWith('/tokenreviews')) answer(response, 201, { status: this.reviewToken(spec) })
    else if (/\/(local)?subjectaccessreviews$/.test(path)) {
      answer(response, 201, { status: { allowed: this.allow(spec) } })
    } else if (method === 'POST' && path.endsWith('/token')) {
      const [, namespace = '', name = ''] =
        /namespaces\/(.+)\/serviceaccounts\/(.+)\/token$/.exec(path) ?? []
      const token = this.issueToken({ namespace, name }, spec)
      if (token === undefined) answer(response, 404, notFound)
      else answer(response, 201, { status: { token } })
    } else if (path === '/readyz' || path === '/version') answer(response, 200, {})
    else if (method === 'POST') {
      const metadata = body['metadata'] as Json
      const generated = metadata['generateName']
      const name = (
        typeof generated === 'string' ? `${generated}${this.#version}` : metadata['name']
      ) as string
      if (this.get(path, name) !== undefined) {
        answer(response, 409, { kind: 'Status', code: 409 })
        return
      }
      this.put(path, { ...body, metadata: { ...metadata, name } })
      answer(response, 201, body)
    } else if (method === 'PUT') this.#replace(path, body, response)
    else if (method === 'PATCH') this.#patch(path, body, response)
    else if (this.#isCollection(path)) this.#list(path, { query, response })
    else {
      const { collection, name, object } = this.#find(path)
      if (method === 'DELETE') this.remove(collection, name)
      answer(response, object === undefined ? 404 : 200, object ?? notFound)
    }
  }

  /** Replaces the object whose resource version is named, as one that was read before. */
  #replace(path: string, body: Json, response: http.ServerResponse): void {
    const { collection, name, object } = this.#find(path)
    const { resourceVersion } = body['metadata'] as Json
    if (object === undefined) answer(response, 404, notFound)
    else if (resourceVersion !== object.metadata['resourceVersion']) {
      answer(response, 409, { kind: 'Status', code: 409 })
    } else {
      this.put(collection, { ...body, metadata: { ...(body['metadata'] as Json), name } })
      answer(response, 200, this.#find(path).object)
    }
  }

  /** A JSON patch (RFC 6902): what it tests must hold. */
  #patch(path: string, body: Json, response: http.ServerResponse): void {
    const { collection, object } = this.#find(path)
    if (object === undefined) {
      answer(response, 404, notFound)
      return
    }
    try {
      const patched = applyJsonPatch(object as never, body as never)
      this.put(collection, patched as unknown as FakeObject)
      answer(response, 200, this.#find(path).object)
    } catch {
      answer(response, 422, { kind: 'Status', code: 422 })
    }
  }

  #find(path: string): { collection: string; name: string; object: FakeObject | undefined } {
    const slash = path.lastIndexOf('/')
    const [collection, name] = [path.slice(0, slash), path.slice(slash + 1)]
    return { collection, name, object: this.#objects.get(collection)?.get(name) }
  }

  #isCollection(path: string): boolean {
    return /\/(namespaces|secrets|pods|serviceaccounts|events|roles|rolebindings|clusterroles|clusterrolebindings|(mutating|validating)webhookconfigurations)$/.test(
      path,
    )
  }

  #list(
    path: string,
    { query, response }: { query: URLSearchParams; response: http.ServerResponse },
  ): void {
    const all = [...this.#objects]
      .filter(([at]) => covers(path, at))
      .flatMap(([, collection]) => [...collection.values()])
      .filter((object) => isSelected(object.metadata['labels'], query.get('labelSelector') ?? ''))
    const from = Number(query.get('continue') ?? '0')
    const limit = Number(query.get('limit') ?? all.length)
    const more = from + limit < all.length
    answer(response, 200, {
      metadata: {
        resourceVersion: String(this.#version),
        continue: more ? String(from + limit) : '',
      },
      items: all.slice(from, from + limit),
    })
  }

  #watch(
    seen: SeenRequest,
    { response, accept }: { response: http.ServerResponse; accept: string },
  ): void {
    const from = Number(seen.query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    if (from < this.#oldest) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410 } })}\n`)
      return
    }
    const send = (event: Json): void => {
      const { kind, apiVersion, metadata } = event['object'] as Json
      const object = accept.includes('as=PartialObjectMetadata')
        ? { kind, apiVersion, metadata }
        : event['object']
      response.write(`${JSON.stringify({ ...event, object })}\n`)
    }
    send({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(from) } } })
    for (const { version, path, event } of this.#history) {
      if (version > from && covers(seen.path, path)) send(event)
    }
    const end = (how: 'in order' | 'cut'): void => {
      this.#watches.delete(watch)
      if (how === 'cut') response.destroy()
      else response.end()
    }
    const watch = { path: seen.path, send, end }
    this.#watches.add(watch)
    response.on('close', () => this.#watches.delete(watch))
  }
}

function answer(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** A started fake that is stopped after the test. */
export async function startFakeKubernetes(
  t: ExecutionContext,
  tls?: https.ServerOptions,
): Promise<FakeKubernetes> {
  const fake = new FakeKubernetes(tls)
  await fake.start()
  t.teardown(async () => {
    await fake.stop().catch(() => undefined)
    await sleep(0)
  })
  return fake
}
