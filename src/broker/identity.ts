import type { UserInfo } from '../clients/kubernetes-reviews.ts'

/** The pod's service account, as an authorizer is asked about it. */
export interface Account {
  readonly namespace: string
  readonly name: string
  /** As the token review gave it, to be passed on verbatim. */
  readonly user: UserInfo
}

/** Who a reviewed token speaks for: one pod, as one service account. */
export interface Identity {
  readonly account: Account
  readonly pod: { readonly name: string; readonly uid: string }
  /** The node that the token is bound to; empty when the API server does not say (before 1.30). */
  readonly nodeName: string
  /** The token's id (`jti`); empty when the API server does not say. */
  readonly tokenId: string
  /** When the token says it ends, wall time in milliseconds since 1970. */
  readonly expiresAtMs: number
}

/** The live Pod, as far as it is compared. */
export interface PodFacts {
  readonly name: string
  readonly uid: string
  readonly accountName: string
  /** Empty while the pod is not scheduled. */
  readonly nodeName: string
  readonly phase: string
  /** Addresses of the pod, and of its node when it uses the node's network. */
  readonly addresses: readonly string[]
  /** `sha256:…` of annotation `latchkey.dev/plan`, or empty without one. */
  readonly planDigest: string
  /** Whether a container `latchkey` was started with that very digest as an argument. */
  readonly injected: boolean
}

/** A person or program that asks for the delivery status. */
export interface Caller {
  readonly user: UserInfo
}

/** PORT. Tells whose a token is. */
export interface Authenticator {
  /**
   * Reviews a pod's token.
   *
   * @throws `ERR_TOKEN_REFUSED` for a token that is not accepted for our audience, is no service
   * account's or is not bound to a pod; `ERR_REVIEW_UNAVAILABLE` when that cannot be told now.
   */
  reviewPod(token: Uint8Array, signal: AbortSignal): Promise<Identity>
  /**
   * Reviews the token of somebody who asks for the delivery status.
   *
   * @throws as {@link Authenticator.reviewPod}, but for the kind of account.
   */
  reviewCaller(token: Uint8Array, signal: AbortSignal): Promise<Caller>
}

/** What a change of permissions may concern. */
export interface PermissionScope {
  /** The namespace; `undefined` means all. */
  readonly namespace: string | undefined
  /** The service account's name; `undefined` means all of the namespace. */
  readonly account: string | undefined
  /** Whether a change was seen; `false` where changes may have been missed. */
  readonly seen: boolean
}

/** PORT. Tells what an account may do. Answers of the moment: whoever asks does the caching. */
export interface Authorizer {
  /**
   * Whether the account may mount a secret of its namespace.
   *
   * @throws `ERR_REVIEW_UNAVAILABLE` when that cannot be told now.
   */
  mayMount(account: Account, secret: string, signal: AbortSignal): Promise<boolean>
  /** Whether a caller may see the namespace's delivery status. Throws as {@link Authorizer.mayMount}. */
  mayListPods(caller: Caller, namespace: string, signal: AbortSignal): Promise<boolean>
  /** Has `listener` called whenever permissions may have changed, until the signal is aborted. */
  onChange(listener: (scope: PermissionScope) => void, signal: AbortSignal): void
  /** Milliseconds since changes were last known to be seen; 0 while they are. */
  staleMs(): number
  /** Milliseconds since a watch of changes last could not be begun; `Infinity` when each could. */
  troubledMsAgo(): number
}

/** A pod being followed; disposing of it ends that. */
export interface FollowedPod extends Disposable {
  /** The latest facts; `gone` once there is no such pod any more. */
  current(): PodFacts | 'gone' | undefined
}

/** PORT. Knows the live pods. */
export interface PodDirectory {
  /**
   * The pod as it is now, or `undefined` when there is none of that name and uid.
   *
   * @throws `ERR_REVIEW_UNAVAILABLE` when that cannot be told now.
   */
  read(pod: PodKey, signal: AbortSignal): Promise<PodFacts | undefined>
  /** Follows one pod. `listener` is called after its facts have changed, never during the call. */
  follow(pod: PodKey, listener: () => void): FollowedPod
  /** Milliseconds since changes of the namespace's pods were last known to be seen. */
  staleMs(namespace: string): number
}

/** Which pod: a name may come to be another pod's. */
export interface PodKey {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}
