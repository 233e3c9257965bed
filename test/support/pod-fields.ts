/** The fields of a Pod that our manifests may use, as the Kubernetes API spells them (core/v1). */
interface Fields {
  readonly [field: string]: true | Fields | readonly [Fields]
}

const texts: Fields = { '*': true }
const probe: Fields = {
  httpGet: { host: true, port: true, path: true, scheme: true },
  initialDelaySeconds: true,
  periodSeconds: true,
  timeoutSeconds: true,
  failureThreshold: true,
  successThreshold: true,
}
const pod: Fields = {
  apiVersion: true,
  kind: true,
  metadata: { name: true, namespace: true, labels: texts, annotations: texts },
  spec: {
    priorityClassName: true,
    priority: true,
    hostNetwork: true,
    dnsPolicy: true,
    automountServiceAccountToken: true,
    enableServiceLinks: true,
    terminationGracePeriodSeconds: true,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: true,
      runAsGroup: true,
      supplementalGroups: true,
      seccompProfile: { type: true },
    },
    containers: [
      {
        name: true,
        image: true,
        imagePullPolicy: true,
        command: true,
        args: true,
        env: [{ name: true, value: true }],
        resources: { requests: texts, limits: texts },
        securityContext: {
          allowPrivilegeEscalation: true,
          readOnlyRootFilesystem: true,
          capabilities: { drop: true, add: true },
        },
        startupProbe: probe,
        livenessProbe: probe,
        readinessProbe: probe,
        volumeMounts: [{ name: true, mountPath: true, readOnly: true }],
      },
    ],
    volumes: [{ name: true, hostPath: { path: true, type: true } }],
  },
}

/** Whether `value` is an object with fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Paths of everything in a Pod that is not a field, or has the wrong shape. */
export function unknownFields(value: unknown): readonly string[] {
  return check(value, pod, '')
}

function check(value: unknown, fields: Fields, path: string): readonly string[] {
  if (!isRecord(value)) return [path]
  return Object.entries(value).flatMap(([name, inner]) => {
    const at = path === '' ? name : `${path}.${name}`
    const expected = fields[name] ?? fields['*']
    if (expected === undefined) return [at]
    if (expected === true) return []
    if (!isList(expected)) return check(inner, expected, at)
    if (!Array.isArray(inner)) return [at]
    return inner.flatMap((item, index) => check(item, expected[0], `${at}[${index}]`))
  })
}

function isList(expected: Fields | readonly [Fields]): expected is readonly [Fields] {
  return Array.isArray(expected)
}
