import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { readBrokerCommand } from '../../src/broker/config.ts'
import { readSidecarCommand } from '../../src/sidecar/config.ts'
import { injectPod } from '../../src/webhook/inject/inject.ts'
import { objectOf, objectsOf } from '../../src/injection/pod/json.ts'
import { readWebhookCommand } from '../../src/webhook/config.ts'
import { fencedBlocks } from '../support/markdown.ts'
import { contextOf, injectionVectors } from '../support/injection.ts'

const cluster = join(import.meta.dirname, '../../deploy/cluster')
const read = (file: string): Promise<string> => readFile(join(cluster, file), 'utf8')

/** Command line of the one container of the Deployment in a file. */
async function commandOf(file: string): Promise<{ command: string[]; args: string[] }> {
  const documents = parseAllDocuments(await read(file)).map((each) => each.toJS() as unknown)
  const deployment = documents.find((each) => (each as { kind: string }).kind === 'Deployment') as {
    spec: { template: { spec: { containers: { command: string[]; args: string[] }[] } } }
  }
  const [container] = deployment.spec.template.spec.containers
  if (container === undefined) throw new Error('no container')
  return container
}

test('the settings that the install writes out are the defaults', async (t) => {
  const settled = async (text: string): Promise<unknown> => {
    const command = await readWebhookCommand(['--config', 'f', '--pod', 'p'], {
      readText: async () => text,
      ownNamespace: async () => 'latchkey-system',
    })
    return command.kind === 'serve' && { ...command.config, metrics: undefined }
  }
  t.deepEqual(await settled(await read('webhook.yaml')), await settled(''))
})

test('the quota of the guide lets in what the install asks for', async (t) => {
  const [quota] = fencedBlocks(await read('README.md'))
    .filter(({ language }) => language === 'yaml')
    .map(({ text }) => parseAllDocuments(text)[0]?.toJS() as Quota)
  t.like(quota, { apiVersion: 'v1', kind: 'ResourceQuota' })
  const classes: unknown[] = []
  for (const file of ['webhook/deployment.yaml', 'broker/deployment.yaml']) {
    const deployment = parseAllDocuments(await read(file))
      .map((each) => each.toJS() as Deployment)
      .find(({ kind }) => kind === 'Deployment')
    t.is(deployment?.metadata.namespace, quota?.metadata.namespace)
    classes.push(deployment?.spec.template.spec.priorityClassName)
  }
  t.deepEqual(quota?.spec.scopeSelector.matchExpressions, [
    { scopeName: 'PriorityClass', operator: 'In', values: [...new Set(classes)] },
  ])
})

interface Quota {
  readonly metadata: { readonly namespace: string }
  readonly spec: { readonly scopeSelector: { readonly matchExpressions: unknown } }
}

interface Deployment {
  readonly kind: string
  readonly metadata: { readonly namespace: string }
  readonly spec: { readonly template: { readonly spec: { readonly priorityClassName?: string } } }
}

test('webhook and broker understand the command lines that the install gives them', async (t) => {
  const webhook = await commandOf('webhook/deployment.yaml')
  t.deepEqual(webhook.command, ['latchkey-webhook'])
  const readText = async (): Promise<string> => read('webhook.yaml')
  const ownNamespace = async (): Promise<string> => 'latchkey-system'
  const { kind } = await readWebhookCommand(webhook.args, { readText, ownNamespace })
  t.is(kind, 'serve')
  const broker = await commandOf('broker/deployment.yaml')
  t.deepEqual(broker.command, ['latchkey-broker'])
  t.is((await readBrokerCommand(broker.args, { readText })).kind, 'serve')
})

test('the sidecar understands every command line that the webhook gives it', async (t) => {
  for (const vector of await injectionVectors()) {
    const result = injectPod(vector.pod, contextOf(vector))
    if (result.kind !== 'injected') throw new Error(vector.name)
    const [sidecar] = objectsOf(objectOf(result.pod['spec'])['initContainers']).filter(
      ({ name }) => name === 'latchkey',
    )
    for (const address of ['10.1.2.3', 'fd00::1']) {
      const args = (sidecar?.['args'] as readonly string[]).map((each) =>
        each.replaceAll('$(POD_IP)', address),
      )
      const command = await readSidecarCommand(args, { readText: async () => '' })
      t.like(command, { kind: 'run', config: { health: { host: address } } })
    }
  }
})
