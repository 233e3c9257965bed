/**
 * API groups of the resources that Kubernetes itself serves, by the name under which etcd has them.
 * In etcd only custom resources carry their group, so for the others it must be known. Core resources
 * are not listed. Source: `kubectl api-resources` of 1.29 to 1.36, and for older ones
 * pkg/kubeapiserver/default_storage_factory_builder.go.
 */
export const builtInGroups: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'admissionregistration.k8s.io': [
      'mutatingadmissionpolicies',
      'mutatingadmissionpolicybindings',
      'mutatingwebhookconfigurations',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
      'validatingwebhookconfigurations',
    ],
    apps: ['controllerrevisions', 'daemonsets', 'deployments', 'replicasets', 'statefulsets'],
    autoscaling: ['horizontalpodautoscalers'],
    batch: ['cronjobs', 'jobs'],
    'certificates.k8s.io': [
      'certificatesigningrequests',
      'clustertrustbundles',
      'podcertificaterequests',
    ],
    'coordination.k8s.io': ['leasecandidates', 'leases'],
    'discovery.k8s.io': ['endpointslices'],
    'flowcontrol.apiserver.k8s.io': ['flowschemas', 'prioritylevelconfigurations'],
    'internal.apiserver.k8s.io': ['storageversions'],
    'networking.k8s.io': [
      'ingressclasses',
      'ingresses',
      'ipaddresses',
      'networkpolicies',
      'servicecidrs',
    ],
    'node.k8s.io': ['runtimeclasses'],
    policy: ['poddisruptionbudgets', 'podsecuritypolicies'],
    'rbac.authorization.k8s.io': ['clusterrolebindings', 'clusterroles', 'rolebindings', 'roles'],
    'resource.k8s.io': [
      'deviceclasses',
      'devicetaintrules',
      'resourceclaims',
      'resourceclaimtemplates',
      'resourcepoolstatusrequests',
      'resourceslices',
    ],
    'scheduling.k8s.io': ['podgroups', 'priorityclasses', 'workloads'],
    'storage.k8s.io': [
      'csidrivers',
      'csinodes',
      'csistoragecapacities',
      'storageclasses',
      'volumeattachments',
      'volumeattributesclasses',
    ],
    'storagemigration.k8s.io': ['storageversionmigrations'],
  }).flatMap(([group, resources]) => resources.map((resource) => [resource, group] as const)),
)
