import type { Log } from '../observe/log.ts'

/** Everything that the KMS plugin logs. Names are stable; tools may match them. */
export type KmsEvent =
  /** The socket is open. Fields: path, origin (`own` or `systemd`), version. */
  | 'kms.listening'
  /** A keyring is served. Fields: generation, keyId, keys (how many live ones), keyringId. */
  | 'kms.keyring_loaded'
  /**
   * The store's keyring is not taken, for the reason in `error`, `code` and `hint`; the former one, if
   * any, is still served. Fields: location, serving (its generation).
   */
  | 'kms.keyring_refused'
  /** After a refusal the store holds again what is served. Field: generation. */
  | 'kms.keyring_mended'
  /**
   * The store cannot be reached; what is served goes on being served. Fields: location, serving (its
   * generation).
   */
  | 'kms.keyring_unconfirmed'
  /** The store is reached again and holds what is served. Field: generation. */
  | 'kms.keyring_confirmed'
  /** Nothing could be had from the store, and this node's own copy is served. Fields: generation, keyId. */
  | 'kms.local_copy_served'
  /** This node's own copy cannot be served either. */
  | 'kms.local_copy_refused'
  /** This node is one of those that share the keyring. Fields: node, how (`joined` or `rejoined`). */
  | 'kms.member_joined'
  /** The store has noted that this node serves a generation. Fields: node, generation. */
  | 'kms.generation_acknowledged'
  /** The store cannot be told of this node. Field: node. */
  | 'kms.member_problem'
  /** New files for the connection to etcd cannot be used; those in use stay. */
  | 'kms.etcd_certificate_refused'
  /** A `--root` could not be opened. Field: root, its number on the command line from 1. */
  | 'kms.root_unavailable'
  /** A root is opened in a way that works and is unwise. Field: warning. */
  | 'kms.root_unwise'
  /** A key failed its self-test. Fields: keyId, state. */
  | 'kms.key_unusable'
  /** A key that had failed its self-test works again. Field: keyId. */
  | 'kms.key_usable'
  /** Decrypt used a retired key: something still needs it. Fields: keyId, heldBack. */
  | 'kms.retired_key_used'
  /** Decrypt named a key that this keyring never had. Fields: kind, keyId, heldBack. */
  | 'kms.unknown_key'
  /** A call failed inside; the caller was told "internal error". Fields: service, method. */
  | 'kms.internal_error'
  /** One call, at level debug. Fields: service, method, status, ms, uid, keyId. */
  | 'kms.request'
  /** The listening socket had an error. */
  | 'kms.socket_error'
  /** The service manager could not be told. */
  | 'kms.notify_failed'
  /** Where metrics and health are served. Field: address. */
  | 'kms.endpoint_listening'
  /** No further connections; calls in flight are answered. Field: inFlight. */
  | 'kms.stopping'
  /** Stopped. Field: cut, connections that were not done in time. */
  | 'kms.stopped'
  | 'endpoint.failed'

/** The plugin's log. */
export type KmsLog = Log<KmsEvent>
