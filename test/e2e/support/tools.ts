/** How one program that end-to-end tests run is built from its pinned Go module. */
export interface Tool {
  /** Folder under `test/e2e/tools` whose go.mod and go.sum pin everything. */
  readonly module: string
  /** Import path of its main package. */
  readonly package: string
  /** Name of the executable. */
  readonly executable: string
  /** What it is, with its version, for messages. */
  readonly title: string
  /** Linker flags. */
  readonly ldflags: string
  /** Build tags. */
  readonly tags?: string
  /** `false` links it without the C library. */
  readonly cgo?: false
  /** Oldest Go release that builds it, as `1.26`. */
  readonly go: string
  /** Rough time of a first build, for messages. */
  readonly firstBuild: string
  /** Whether `KUBEBUILDER_ASSETS` may supply it: no for a version that those assets are not. */
  readonly fromAssets: boolean
}

/** The linker flags by which a Kubernetes program knows its own version. */
function kubernetesFlags(version: string): string {
  const [major = '', minor = ''] = version.split('.')
  const set = (name: string, value: string): string =>
    `-X k8s.io/component-base/version.${name}=${value}`
  return [
    '-s -w',
    set('gitVersion', `v${version}`),
    set('gitMajor', major),
    set('gitMinor', minor),
  ].join(' ')
}

const kubernetes = {
  module: 'kubernetes',
  ldflags: kubernetesFlags('1.36.3'),
  go: '1.26',
  fromAssets: true,
} as const

const etcd = {
  module: 'etcd',
  ldflags: '-s -w',
  go: '1.26',
  firstBuild: 'about 1 minute',
  fromAssets: true,
} as const

const containerd = {
  module: 'containerd',
  ldflags: '-s -w',
  tags: 'no_btrfs,no_devmapper,no_zfs,osusergo,netgo',
  cgo: false,
  go: '1.26',
  fromAssets: false,
} as const

/** Every program that end-to-end tests may ask for. */
export const tools = {
  'kube-apiserver': {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    executable: 'kube-apiserver',
    title: 'kube-apiserver 1.36.3',
    firstBuild: 'about 5 minutes on two cores',
  },
  kubectl: {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kubectl',
    executable: 'kubectl',
    title: 'kubectl 1.36.3',
    firstBuild: 'about 1 minute',
  },
  kubelet: {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kubelet',
    executable: 'kubelet',
    title: 'kubelet 1.36.3',
    firstBuild: 'about 2 minutes',
  },
  'kube-controller-manager': {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    executable: 'kube-controller-manager',
    title: 'kube-controller-manager 1.36.3',
    firstBuild: 'about 2 minutes',
  },
  'kube-scheduler': {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-scheduler',
    executable: 'kube-scheduler',
    title: 'kube-scheduler 1.36.3',
    firstBuild: 'about 1 minute',
  },
  'kube-proxy': {
    ...kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-proxy',
    executable: 'kube-proxy',
    title: 'kube-proxy 1.36.3',
    firstBuild: 'about 1 minute',
  },
  kubeadm: {
    ...kubernetes,
    module: 'kubeadm',
    package: 'k8s.io/kubernetes/cmd/kubeadm',
    executable: 'kubeadm',
    title: 'kubeadm 1.36.3',
    firstBuild: 'about 1 minute',
  },
  'older-kube-apiserver': {
    module: 'kubernetes-1.31',
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    executable: 'kube-apiserver',
    title: 'kube-apiserver 1.31.0',
    ldflags: kubernetesFlags('1.31.0'),
    go: '1.24',
    firstBuild: 'about 3 minutes on two cores',
    fromAssets: false,
  },
  etcd: {
    ...etcd,
    package: 'go.etcd.io/etcd/server/v3',
    executable: 'etcd',
    title: 'etcd 3.6.6',
  },
  etcdctl: {
    ...etcd,
    package: 'go.etcd.io/etcd/etcdctl/v3',
    executable: 'etcdctl',
    title: 'etcdctl 3.6.6',
  },
  etcdutl: {
    ...etcd,
    package: 'go.etcd.io/etcd/etcdutl/v3',
    executable: 'etcdutl',
    title: 'etcdutl 3.6.6',
  },
  containerd: {
    ...containerd,
    package: 'github.com/containerd/containerd/v2/cmd/containerd',
    executable: 'containerd',
    title: 'containerd 2.2.9',
    firstBuild: 'about 3 minutes',
  },
  'containerd-shim-runc-v2': {
    ...containerd,
    package: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
    executable: 'containerd-shim-runc-v2',
    title: 'containerd-shim-runc-v2 2.2.9',
    firstBuild: 'about half a minute',
  },
  ctr: {
    ...containerd,
    package: 'github.com/containerd/containerd/v2/cmd/ctr',
    executable: 'ctr',
    title: 'ctr 2.2.9',
    firstBuild: 'about half a minute',
  },
  coredns: {
    module: 'coredns',
    package: 'github.com/coredns/coredns',
    executable: 'coredns',
    title: 'coredns 1.14.7',
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: 'about 4 minutes on two cores',
    fromAssets: false,
  },
  vault: {
    module: 'vault',
    package: 'github.com/hashicorp/vault',
    executable: 'vault',
    title: 'vault 1.21.0',
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: '6 to 20 minutes on two cores',
    fromAssets: false,
  },
  transformer: {
    module: 'transformer',
    package: '.',
    executable: 'transformer',
    title: "the API server's own transformers",
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: 'about 2 minutes on two cores',
    fromAssets: false,
  },
  helm: {
    module: 'helm',
    package: 'helm.sh/helm/v4/cmd/helm',
    executable: 'helm',
    title: 'helm 4.3.1',
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: '2 to 4 minutes on two cores',
    fromAssets: false,
  },
  gator: {
    module: 'gatekeeper',
    package: 'github.com/open-policy-agent/gatekeeper/v3/cmd/gator',
    executable: 'gator',
    title: 'gator 3.23.1, the engine of Gatekeeper',
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: '2 to 4 minutes on two cores',
    fromAssets: false,
  },
  'kms-plugin': {
    module: 'kms-plugin',
    package: '.',
    executable: 'kms-plugin',
    title: 'a minimal KMS plugin in Go',
    ldflags: '-s -w',
    go: '1.26',
    firstBuild: 'less than a minute',
    fromAssets: false,
  },
} as const satisfies Record<string, Tool>

/** Name of a program in {@link tools}. */
export type ToolName = keyof typeof tools
