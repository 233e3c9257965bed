import { relative } from 'node:path'
import type { DevLayout } from './layout.ts'
import { demo, encryptionConfigText, planText } from './texts.ts'

/** What a newcomer is told once everything runs. */
export function welcome(
  layout: DevLayout,
  options: { readonly cwd: string; readonly keyId: string; readonly command: string },
): readonly string[] {
  const { command } = options
  const from = (path: string): string => {
    const shorter = relative(options.cwd, path)
    return shorter.startsWith('..') ? path : shorter
  }
  return [
    '1. Encryption at rest',
    '',
    `A KMS v2 plugin answers on unix://${layout.socket}`,
    `with key ${options.keyId}. Give kube-apiserver (1.29 or newer, on this machine):`,
    `  --encryption-provider-config=${layout.encryptionConfig}`,
    '  --encryption-provider-config-automatic-reload=true',
    '',
    'That file says:',
    ...indent(encryptionConfigText(layout.socket)),
    '',
    'In another terminal, rotate the key while this runs:',
    `  ${command} keys stage --config ${from(layout.kmsConfig)}`,
    `  ${command} keys activate --config ${from(layout.kmsConfig)}`,
    `  ${command} doctor --config ${from(layout.kmsConfig)}`,
    '',
    '2. Secrets as files',
    '',
    `A broker and a sidecar run; ${from(layout.pod)} stands for the file system of a pod that declares:`,
    ...indent(planText()),
    '',
    'Look at the file, change the secret, and look again:',
    `  cat ${from(layout.file)}`,
    `  echo second-password | ${command} secret set ${demo.namespace}/${demo.secret} ${demo.key} --config ${from(layout.storeConfig)}`,
    `  cat ${from(layout.file)}`,
    '',
    'Take the permission away, and within two seconds the file is gone:',
    `  sed -i 's/mount: \\[${demo.secret}\\]/mount: []/' ${from(layout.permissions)}`,
    `  ls ${from(layout.file)}`,
    '',
    'And see what was recorded:',
    `  ${command} audit verify ${from(layout.audit)}`,
    '',
    'This is for trying out: keys lie beside what they open. Ctrl-C ends it. What happens:',
  ]
}

function indent(text: string): readonly string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
}
