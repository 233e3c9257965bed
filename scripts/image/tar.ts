import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Packs what is below `directory` into `file`: the same bytes for the same names, modes and content. */
export async function pack(directory: string, file: string): Promise<void> {
  await promisify(execFile)('tar', [
    ...['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
    ...['--format=ustar', '-cf', file, '-C', directory, '.'],
  ])
}
