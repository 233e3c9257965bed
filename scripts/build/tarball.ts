import { execFile } from 'node:child_process'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'

/**
 * Packs the release into `PATH.tar.gz`, the same bytes for the same content whoever builds. The
 * compile cache is left out: it is of use to one release of Node.js and one user alone.
 */
export async function packTarball(out: string, tarball: string): Promise<void> {
  await promisify(execFile)('tar', [
    ...['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
    ...['--mode=u=rwX,go=rX', '--format=ustar', `--exclude=${basename(out)}/cache`],
    `--transform=s,^${basename(out)},${basename(tarball, '.tar.gz')},`,
    ...['-czf', tarball, '-C', dirname(out), basename(out)],
  ])
}
