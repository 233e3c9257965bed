// One cluster for all, and time enough to wait for what takes ten minutes.
const first = ['waiting', 'delivery']
const rank = (file) => {
  const at = first.findIndex((name) => file.endsWith(`/${name}.test.ts`))
  return at < 0 ? first.length : at
}

export default {
  extensions: { ts: 'module' },
  files: ['test/cluster/**/*.test.ts'],
  // Two at a time: one waits for most of the run, and the others go past it one by one.
  concurrency: 2,
  sortTestFiles: (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
  timeout: '30m',
  workerThreads: false,
}
