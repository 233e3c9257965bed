import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import {
  brokerName,
  expectedName,
  replicasBehind,
  replicasService,
} from '../../../src/admin/delivery/server-name.ts'
import { readWebhookCommand } from '../../../src/webhook/config.ts'

test('behind the headless Service the certificate of the other one is expected', (t) => {
  for (const suffix of ['', '.svc', '.svc.cluster.local', '.svc.corp.example']) {
    t.is(expectedName(`latchkey-broker-replicas.infra${suffix}`), 'latchkey-broker.infra.svc')
  }
  for (const host of [
    'latchkey-broker.infra.svc',
    'latchkey-broker-replicas',
    'latchkey-broker-replicas.infra.example',
    'latchkey-broker-replicas.Infra.svc',
    'x.latchkey-broker-replicas.infra.svc',
    '10.0.0.1',
  ]) {
    t.is(expectedName(host), host)
  }
})

test('a Service that is one address for all replicas is known', (t) => {
  for (const suffix of ['', '.svc', '.svc.cluster.local']) {
    const behind = 'latchkey-broker-replicas.infra.svc:8443'
    t.is(replicasBehind(`latchkey-broker.infra${suffix}`), behind)
  }
  for (const host of ['latchkey-broker-replicas.infra.svc', 'latchkey-broker', '10.0.0.1']) {
    t.is(replicasBehind(host), undefined)
  }
})

test('it is a name that the webhook puts in, and a Service of the install', async (t) => {
  const command = await readWebhookCommand(['--namespace', 'infra', '--pod', 'p'], {
    readText: async () => '',
    ownNamespace: async () => undefined,
  })
  if (command.kind !== 'serve' || command.config.certificates.issuer !== 'self') return t.fail()
  t.true(command.config.certificates.brokerNames.includes(brokerName('infra')))
  const manifest = join(import.meta.dirname, '../../../deploy/cluster/broker/deployment.yaml')
  const services = parseAllDocuments(await readFile(manifest, 'utf8')).map(
    (each) => each.toJS() as { kind: string; metadata: { name: string }; spec: object },
  )
  const service = services.find(({ metadata }) => metadata.name === replicasService)
  t.like(service, {
    kind: 'Service',
    spec: { clusterIP: 'None', publishNotReadyAddresses: true, ports: [{ port: 8443 }] },
  })
})
