// Names of test files that the runner leaves out on this machine, and has said so.
const without = (process.env.LATCHKEY_E2E_WITHOUT ?? '').split(',').filter(Boolean)

export default {
  extensions: { ts: 'module' },
  files: ['test/e2e/**/*.test.ts', ...without.map((name) => `!test/e2e/**/${name}.test.ts`)],
  // Real servers on a small machine: two files at a time, and time enough for them. It is the longest
  // time in which no test ends; what hangs is ended by deadlines of its own, long before.
  concurrency: 2,
  timeout: '20m',
  workerThreads: false,
}
