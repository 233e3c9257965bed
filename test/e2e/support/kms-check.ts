import type { Kubernetes } from './kubernetes.ts'

/**
 * What the API server thinks of its KMS providers now. Asking also makes it ask the plugin's
 * Status when its last answer is older than 20 s, or 3 s after a failure; by itself it would only
 * ask every minute.
 */
export async function kmsCheck(
  api: Kubernetes,
): Promise<{ readonly ok: boolean; readonly text: string }> {
  const { status, body } = await api.text('/readyz/kms-providers?verbose')
  return { ok: status === 200, text: body }
}
