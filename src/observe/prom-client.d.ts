// prom-client's index loads its cluster, push gateway and OpenTelemetry parts, which cost 3 MB and
// 30 ms at start and are not used here. Its parts can be loaded on their own, without types.
declare module 'prom-client/lib/registry.js' {
  import { Registry } from 'prom-client'
  export default Registry
}
declare module 'prom-client/lib/counter.js' {
  import { Counter } from 'prom-client'
  export default Counter
}
declare module 'prom-client/lib/gauge.js' {
  import { Gauge } from 'prom-client'
  export default Gauge
}
declare module 'prom-client/lib/histogram.js' {
  import { Histogram } from 'prom-client'
  export default Histogram
}
declare module 'prom-client/lib/metrics/processCpuTotal.js' {
  import { Registry } from 'prom-client'
  export default function collect(registry: Registry): void
}
declare module 'prom-client/lib/metrics/processStartTime.js' {
  import { Registry } from 'prom-client'
  export default function collect(registry: Registry): void
}
declare module 'prom-client/lib/metrics/osMemoryHeap.js' {
  import { Registry } from 'prom-client'
  export default function collect(registry: Registry): void
}
declare module 'prom-client/lib/metrics/processOpenFileDescriptors.js' {
  import { Registry } from 'prom-client'
  export default function collect(registry: Registry): void
}
declare module 'prom-client/lib/metrics/processMaxFileDescriptors.js' {
  import { Registry } from 'prom-client'
  export default function collect(registry: Registry): void
}
