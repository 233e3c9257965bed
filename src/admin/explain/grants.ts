/** A Role or RoleBinding, to be applied. */
export interface Grant {
  readonly apiVersion: 'rbac.authorization.k8s.io/v1'
  readonly kind: 'Role' | 'RoleBinding'
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly [field: string]: unknown
}

/** Who is to mount what. */
export interface Grantee {
  readonly namespace: string
  readonly serviceAccount: string
}

/**
 * The Role and RoleBinding that let a service account mount one secret, and nothing else.
 *
 * One pair for each secret, named for it, so that applying the pairs of two workloads never takes
 * anything away from either.
 */
export function grantFor(secret: string, { namespace, serviceAccount }: Grantee): readonly Grant[] {
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  const role = `latchkey-mount-${secret}`
  return [
    {
      apiVersion,
      kind: 'Role',
      metadata: { name: role, namespace },
      rules: [
        { apiGroups: [''], resources: ['secrets'], resourceNames: [secret], verbs: ['mount'] },
      ],
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      // No account has a colon in its name, so no two pairs of secret and account share a binding.
      metadata: { name: `${role}:${serviceAccount}`, namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: role },
      subjects: [{ kind: 'ServiceAccount', name: serviceAccount, namespace }],
    },
  ]
}
