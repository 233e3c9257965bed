/** Stable names of what the webhook logs. */
export type WebhookEvent =
  | 'webhook.started'
  | 'webhook.stopping'
  | 'webhook.admitted'
  | 'webhook.request_failed'
  | 'webhook.namespaces_problem'
  | 'webhook.audit_failed'
  | 'webhook.audit_recovered'
  | 'audit.rotation_failed'
  | 'audit.checkpoint'
  | 'certificate.served'
  | 'certificate.problem'
  | 'authority.created'
  | 'authority.changed'
  | 'broker_certificate.issued'
  | 'bundle.written'
  | 'bundle.problem'
  | 'endpoint.failed'

/** What the webhook can find wrong with itself. */
export type WebhookFinding = 'certificate' | 'bundle' | 'audit' | 'stopping'
