import { createHash } from 'node:crypto'
import { LatchkeyError } from '../base/errors.ts'
import type { UserInfo } from '../clients/kubernetes-reviews.ts'
import type {
  Authenticator,
  Authorizer,
  PermissionScope,
  PodDirectory,
  PodFacts,
} from './identity.ts'
import type { StaticFile, StaticPod } from './static-file.ts'

/** The three ports filled from a file instead of an API server. */
export interface StaticCluster {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly pods: PodDirectory
  /** Takes a new version of the file; everybody whom it concerns is told. */
  replace(file: StaticFile): void
}

/** Tokens of a static file have no end. */
const never = 8_640_000_000_000_000
const everywhere: PermissionScope = { namespace: undefined, account: undefined, seen: true }

/** A cluster that is a file: for one machine, over loopback, without Kubernetes. */
export function createStaticCluster(initial: StaticFile): StaticCluster {
  let file = initial
  const changes = new Set<(scope: PermissionScope) => void>()
  const followers = new Set<() => void>()
  const podOf = (uid: string): StaticPod | undefined => file.pods.find((it) => it.uid === uid)
  const authenticator: Authenticator = {
    reviewPod: async (token) => {
      const digest = digestOf(token)
      const pod = file.pods.find(({ tokenSha256 }) => tokenSha256 === digest)
      if (pod === undefined) throw refused()
      const { namespace, name, uid, account } = pod
      return {
        account: { namespace, name: account, user: userOf(namespace, account) },
        pod: { name, uid },
        nodeName: '',
        tokenId: digest.slice(0, 16),
        expiresAtMs: never,
      }
    },
    reviewCaller: async (token) => {
      const digest = digestOf(token)
      const viewer = file.viewers.find(({ tokenSha256 }) => tokenSha256 === digest)
      if (viewer === undefined) throw refused()
      return { user: { username: viewer.name, uid: digest, groups: [], extra: {} } }
    },
  }
  const authorizer: Authorizer = {
    mayMount: async ({ namespace, name }, secret) =>
      file.accounts.some(
        (it) => it.namespace === namespace && it.name === name && it.mount.includes(secret),
      ),
    mayListPods: async ({ user }, namespace) =>
      file.viewers.some((it) => it.tokenSha256 === user.uid && it.namespaces.includes(namespace)),
    onChange: (listener, signal) => {
      changes.add(listener)
      signal.addEventListener('abort', () => changes.delete(listener), { once: true })
    },
    staleMs: () => 0,
    troubledMsAgo: () => Infinity,
  }
  const pods: PodDirectory = {
    read: async ({ uid }) => {
      const pod = podOf(uid)
      return pod === undefined ? undefined : factsOf(pod)
    },
    follow: ({ uid }, listener) => {
      const call = (): void => {
        listener()
      }
      followers.add(call)
      return {
        current: () => {
          const pod = podOf(uid)
          return pod === undefined ? 'gone' : factsOf(pod)
        },
        [Symbol.dispose]: () => {
          followers.delete(call)
        },
      }
    },
    staleMs: () => 0,
  }
  return {
    authenticator,
    authorizer,
    pods,
    replace: (next) => {
      file = next
      for (const listener of [...changes]) listener(everywhere)
      for (const follower of [...followers]) follower()
    },
  }
}

function factsOf({ name, uid, account }: StaticPod): PodFacts {
  return {
    name,
    uid,
    accountName: account,
    nodeName: '',
    phase: 'Running',
    addresses: [],
    planDigest: '',
    injected: false,
  }
}

function userOf(namespace: string, account: string): UserInfo {
  return {
    username: `system:serviceaccount:${namespace}:${account}`,
    uid: '',
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
    extra: {},
  }
}

function digestOf(token: Uint8Array): string {
  return createHash('sha256').update(token).digest('hex')
}

function refused(): LatchkeyError {
  return new LatchkeyError('ERR_TOKEN_REFUSED', 'the token is not in the static file')
}
