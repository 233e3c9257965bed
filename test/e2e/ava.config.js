export default {
  extensions: { ts: 'module' },
  files: ['test/e2e/**/*.test.ts'],
  // Real servers on a small machine: two files at a time, and time enough for them.
  concurrency: 2,
  timeout: '5m',
  workerThreads: false,
}
