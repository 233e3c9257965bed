/** What a container of the image runs as, and with: the Dockerfile says the same, which is tested. */
export const settings = {
  User: '65532:65532',
  Env: ['PATH=/opt/latchkey/bin:/usr/local/bin'],
  Cmd: ['latchkey', '--help'],
  WorkingDir: '/',
} as const

/** What the archive's image is called, and what tests import. */
export const defaultName = 'localhost/latchkey:dev'

/** Where Node.js and the release are in the image. */
export const paths = { node: '/usr/local/bin/node', release: '/opt/latchkey' } as const
