#!/usr/bin/env node
// The yardstick of our own runtime: a grpc-js server whose handlers answer constants. Whatever
// latchkey-kms costs beyond it, on the same machine in the same run, is our doing.
import {
  Server,
  ServerCredentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const [socket = '', proto = ''] = process.argv.slice(2)
const { v2 } = loadPackageDefinition(loadSync(proto)) as unknown as {
  v2: { KeyManagementService: ServiceClientConstructor }
}
type Answer = (call: unknown, callback: (error: null, response: object) => void) => void
const always =
  (response: object): Answer =>
  (_call, callback) => {
    callback(null, response)
  }
const keyId = 'lk1.1.AAAAAAAAAAAAAAAAAAAAAA'
const server = new Server()
server.addService(v2.KeyManagementService.service, {
  Status: always({ version: 'v2', healthz: 'ok', keyId }),
  Encrypt: always({ ciphertext: Buffer.alloc(73, 1), keyId }),
  Decrypt: always({ plaintext: Buffer.alloc(32, 1) }),
})
server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error
})
process.once('SIGTERM', () => {
  server.forceShutdown()
})
