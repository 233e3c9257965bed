const withoutOlder = process.env.LATCHKEY_E2E_WITHOUT_OLDER === '1'

export default {
  extensions: { ts: 'module' },
  files: ['test/e2e/**/*.test.ts', ...(withoutOlder ? ['!test/e2e/**/older-*.test.ts'] : [])],
  // Real servers on a small machine: two files at a time, and time enough for them.
  concurrency: 2,
  timeout: '5m',
  workerThreads: false,
}
