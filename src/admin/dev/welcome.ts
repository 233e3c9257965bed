import { relative } from 'node:path'
import { encryptionConfigText, type DevLayout } from './layout.ts'

/** What a newcomer is told once the plugin answers. */
export function welcome(
  layout: DevLayout,
  options: { readonly cwd: string; readonly keyId: string; readonly command: string },
): readonly string[] {
  const config = relative(options.cwd, layout.kmsConfig) || layout.kmsConfig
  return [
    `A KMS v2 plugin answers on unix://${layout.socket}`,
    `with key ${options.keyId}.`,
    '',
    'Give kube-apiserver (1.29 or newer, on this machine) these flags:',
    `  --encryption-provider-config=${layout.encryptionConfig}`,
    '  --encryption-provider-config-automatic-reload=true',
    '',
    'The file says:',
    ...encryptionConfigText(layout.socket)
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
    '',
    'In another terminal, rotate the key while this runs:',
    `  ${options.command} keys stage --config ${config}`,
    `  ${options.command} keys activate --config ${config}`,
    `  ${options.command} doctor --config ${config}`,
    '',
    'This is for trying out: root and keyring lie beside each other. Ctrl-C ends it. Each request:',
  ]
}
