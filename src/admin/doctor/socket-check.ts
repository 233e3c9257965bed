import type { Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../../base/errors.ts'
import { askKmsStatus, type KmsStatus } from '../../clients/kms-status.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { findingsAbout, problemOf, type Finding } from './finding.ts'

const subject = 'socket'
const about = findingsAbout(subject)
const statusTimeoutMs = 3000

/** Looks at the plugin's socket as the API server will use it, and at what answers there. */
export async function checkSocket(
  path: string,
  options: { readonly keyring: Keyring | undefined },
): Promise<readonly Finding[]> {
  const place = await checkPlace(path)
  if (place.some(({ level }) => level === 'problem')) return place
  if (!(await mayConnect(path))) {
    return [
      ...place,
      about.warning(
        'the socket is there, and not for this user: it was not asked',
        `to ask it, run as root: latchkey doctor --listen unix://${path}`,
      ),
    ]
  }
  try {
    const status = await askKmsStatus(path, statusTimeoutMs)
    return [...place, ...checkStatus(status, options.keyring)]
  } catch (error) {
    const finding = problemOf(subject, error)
    return [...place, { ...finding, remedy: `see whether latchkey-kms runs and what it logged` }]
  }
}

/** Whether this process may connect, as far as the permissions of the path go. */
async function mayConnect(path: string): Promise<boolean> {
  return await fs.access(path, fs.constants.W_OK).then(
    () => true,
    (error: unknown) => systemCode(error) !== 'EACCES',
  )
}

async function checkPlace(path: string): Promise<readonly Finding[]> {
  const directory = dirname(path)
  const [inDirectory, socket] = [await statOf(directory), await statOf(path)]
  if (inDirectory?.isDirectory() !== true) {
    return [about.problem(`there is no directory ${directory}`, `mkdir -m 0700 -p ${directory}`)]
  }
  const findings: Finding[] = []
  if ((inDirectory.mode & 0o022) !== 0) {
    // A sticky directory, such as /tmp, is meant for everybody and must stay so.
    const remedy =
      (inDirectory.mode & 0o1000) === 0
        ? `chmod go-w ${directory}`
        : 'give the socket a directory of its own, such as /run/latchkey'
    findings.push(about.problem(`others may replace files in ${directory}`, remedy))
  }
  // Nobody but root and whoever serves the socket may be able to replace it.
  const server = socket?.uid ?? inDirectory.uid
  if (inDirectory.uid !== 0 && inDirectory.uid !== server) {
    findings.push(
      about.problem(
        `${directory} belongs to user ${inDirectory.uid}, and the socket to user ${server}`,
        `chown ${server} ${directory}`,
      ),
    )
  }
  if (socket === undefined) {
    return [...findings, about.problem(`there is no socket at ${path}`, 'start latchkey-kms')]
  }
  if (!socket.isSocket()) {
    return [
      ...findings,
      about.problem(`${path} is not a socket`, 'move it away and start latchkey-kms'),
    ]
  }
  if ((socket.mode & 0o007) !== 0) {
    findings.push(about.problem(`everybody may use the socket ${path}`, `chmod o-rwx ${path}`))
  }
  return findings
}

function checkStatus(status: KmsStatus, keyring: Keyring | undefined): readonly Finding[] {
  if (status.version !== 'v2') {
    return [
      about.problem(`what answers speaks "${status.version}", not v2`, "name the plugin's socket"),
    ]
  }
  const findings: Finding[] = []
  if (status.healthz !== 'ok') {
    findings.push(
      about.problem(`the plugin is not healthy: ${status.healthz}`, 'see what latchkey-kms logged'),
    )
  }
  const key = keyring?.find(status.keyId)
  if (keyring === undefined || key?.state === 'active') {
    findings.push(about.ok(`answers with key ${status.keyId}`))
  } else if (key === undefined) {
    findings.push(
      about.problem(
        'the plugin encrypts with a key that is not in this keyring: another keyring is in use',
        'give the plugin and this command the same --keyring; if there were two, merge them with "latchkey keys adopt"',
      ),
    )
  } else {
    findings.push(
      about.problem(
        `the plugin encrypts with ${key.id}, which is ${key.state} in this keyring`,
        'the plugin has not taken the newest generation: see what it logged, and restart it if it refused',
      ),
    )
  }
  return findings
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}
