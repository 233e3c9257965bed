import type { Log } from '../observe/log.ts'

/** Everything that the broker logs. Names are stable; tools may match them. */
export type BrokerEvent =
  /** Serving. Fields: address, source, auth, replica, version. */
  | 'broker.listening'
  /** No `--audit`: nothing is recorded. */
  | 'broker.audit_off'
  /** A chain has begun. Fields: path, key (public, base64url). */
  | 'broker.audit_begun'
  /** A checkpoint is in the file, and synced. Fields: chain, seq, hash: the head, to be kept elsewhere. */
  | 'audit.checkpoint'
  /** The audit file cannot be written: nothing new is delivered. */
  | 'broker.audit_failing'
  /** The file has its full size and cannot be moved; it goes on growing. */
  | 'audit.rotation_failed'
  /** It can be written again. */
  | 'broker.audit_mended'
  /** No `--version-key`: versions are this process's own, and replicas do not agree on them. */
  | 'broker.version_key_own'
  /** A certificate came into use. Field: notAfter. */
  | 'broker.certificate'
  /** New certificate files cannot be used; the former ones stay in use. */
  | 'broker.certificate_refused'
  /** A bundle of certificate authorities is handed out. Field: bytes. */
  | 'broker.ca_bundle'
  /** The bundle file cannot be used; the former one goes on being handed out. */
  | 'broker.ca_bundle_refused'
  /** A static file was read again, or could not be. */
  | 'broker.static_file'
  | 'broker.static_file_refused'
  /** A stream was opened, at level debug. Fields: namespace, account, pod, peer, client, references, ms. */
  | 'stream.opened'
  /** A stream was not opened. Fields: reason, peer, and namespace, account, pod as far as known; heldBack. */
  | 'stream.refused'
  /** A stream has ended, at level debug when nothing is amiss. Fields as above, and reason, seconds. */
  | 'stream.ended'
  /** A set was sent, at level debug. Fields: namespace, pod, sequence, and how many items are in which status. */
  | 'stream.delivered'
  /** A client has dealt with a set, or could not. Fields: namespace, pod, sequence, outcome. */
  | 'stream.acknowledged'
  /** A pod waits for secrets, or has lost some. Fields: namespace, pod, and secrets as `NAME: WHY`. */
  | 'stream.waiting'
  | 'stream.token_refreshed'
  | 'stream.token_refresh_refused'
  /** ALERT. Two clients speak for one pod. Fields: namespace, account, pod, peer. */
  | 'stream.concurrent'
  /** ALERT. A client is not at its pod's address. Fields: namespace, account, pod, peer. */
  | 'stream.other_address'
  /** Whether an account may mount a secret. Fields: namespace, account, secret, decision. */
  | 'permission.decided'
  /** A source, or a watch of the API server, does not work; it is tried again. Fields: namespace, name, heldBack. */
  | 'source.failing'
  | 'cluster.failing'
  /** An Event on a Pod could not be written. */
  | 'pod_event.failed'
  /** A call failed inside; the client was told "internal". */
  | 'broker.internal_error'
  /** Where metrics and health are served. Field: address. */
  | 'broker.endpoint_listening'
  /** No further streams; those that are open are sent elsewhere. Field: streams. */
  | 'broker.draining'
  | 'broker.stopped'
  | 'endpoint.failed'

/** The broker's log. */
export type BrokerLog = Log<BrokerEvent>
