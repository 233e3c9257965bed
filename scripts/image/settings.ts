/** The part of an image's configuration that we use (OCI image specification, config.md). */
export interface ContainerSettings {
  readonly User: string
  readonly Env: readonly string[]
  readonly Cmd: readonly string[]
  readonly WorkingDir: string
}

/** What a container of the image runs as, and with: the Dockerfile says the same, which is tested. */
export const settings = {
  User: '65532:65532',
  Env: ['PATH=/opt/latchkey/bin:/usr/local/bin'],
  Cmd: ['latchkey', '--help'],
  WorkingDir: '/',
} as const satisfies ContainerSettings

/** What the archive's image is called, and what tests import. */
export const defaultName = 'localhost/latchkey:dev'

/** Where Node.js and the release are in the image. */
export const paths = { node: '/usr/local/bin/node', release: '/opt/latchkey' } as const
