import { status as codes, type handleUnaryCall, type Server } from '@grpc/grpc-js'
import type { Clock } from '../base/clock.ts'
import { isLatchkeyError } from '../base/errors.ts'
import type { RandomBytes } from '../base/random.ts'
import type { SecretBytes } from '../base/secret.ts'
import type { KeyInfo } from '../keyring/key.ts'
import { toGrpcFailure } from '../net/grpc-status.ts'
import type { KmsLog } from './events.ts'
import type { KmsHealth } from './findings.ts'
import { v1beta1, v2 } from './messages.ts'
import type { KmsMetrics, MethodName } from './metrics.ts'
import { decrypt, decryptV1, encrypt, encryptV1, status } from './service.ts'
import type { Serving } from './snapshot.ts'
import type { Witness } from './witness.ts'

/** What the gRPC side of the plugin needs. */
export interface KmsGrpcDependencies {
  readonly serving: Serving
  readonly health: KmsHealth
  readonly metrics: KmsMetrics
  readonly witness: Witness
  readonly log: KmsLog
  readonly clock: Clock
  readonly random: RandomBytes
  /** Version of the plugin, semver. */
  readonly version: string
}

/** An answer in wire form, and what to say of it in the debug log. */
interface Answer {
  readonly message: Buffer
  readonly uid?: string
  readonly keyId?: string
  /** Whether `message` holds a plaintext, to be wiped when it was sent. */
  readonly secret?: boolean
  sent?: boolean
}

type Handler = handleUnaryCall<Buffer, Answer>

const asIs = (message: Buffer): Buffer => message
const serialize = (answer: Answer): Buffer => {
  answer.sent = true
  return answer.message
}

/**
 * Makes the two KMS services, and returns how to add them to a server.
 *
 * @remarks
 * A call is answered in one go, without waiting, so that it sees one snapshot. Deadlines and
 * cancellation are kept by grpc-js and the guard of the connection.
 */
export function createKmsServices(deps: KmsGrpcDependencies): (server: Server) => void {
  const handlers = Object.entries({ ...v2Calls(deps), ...v1beta1Calls(deps) })
  return (server) => {
    for (const [path, handler] of handlers) {
      server.register(path, handler, serialize, asIs, 'unary')
    }
  }
}

function v2Calls(deps: KmsGrpcDependencies): Record<string, Handler> {
  const { serving, health, random, witness } = deps
  const call = (method: MethodName['method'], answer: (message: Buffer) => Answer): Handler =>
    handler({ service: 'v2', method }, { ...deps, answer })
  return {
    '/v2.KeyManagementService/Status': call('Status', () => {
      const { healthz, keyId } = status(serving.snapshot, health.findings)
      return { message: v2.writeStatusResponse({ healthz, keyId }), keyId }
    }),
    '/v2.KeyManagementService/Encrypt': call('Encrypt', (message) => {
      const { plaintext, uid } = v2.readEncryptRequest(message)
      const sealed = encrypt(serving.snapshot, plaintext, random)
      message.fill(0)
      return { message: v2.writeEncryptResponse(sealed), uid, keyId: sealed.keyId }
    }),
    '/v2.KeyManagementService/Decrypt': call('Decrypt', (message) => {
      const { uid, ...request } = v2.readDecryptRequest(message)
      try {
        const { plaintext, key } = decrypt(serving.snapshot, request)
        witness.opened(key)
        return { ...writePlaintext(plaintext, v2.writeDecryptResponse), uid, keyId: key.id }
      } catch (error) {
        if (isLatchkeyError(error, 'ERR_KEY_UNKNOWN')) witness.unknownKey(request.keyId)
        throw error
      }
    }),
  }
}

function v1beta1Calls(deps: KmsGrpcDependencies): Record<string, Handler> {
  const { serving, random, witness, version } = deps
  const call = (method: MethodName['method'], answer: (message: Buffer) => Answer): Handler =>
    handler({ service: 'v1beta1', method }, { ...deps, answer })
  const open = (message: Buffer): { plaintext: SecretBytes; key: KeyInfo } => {
    const ciphertext = v1beta1.readRequest(message)
    try {
      return decryptV1(serving.snapshot, ciphertext)
    } catch (error) {
      if (isLatchkeyError(error, 'ERR_KEY_UNKNOWN')) witness.unknownKeyInside(ciphertext)
      throw error
    }
  }
  return {
    '/v1beta1.KeyManagementService/Version': call('Version', () => ({
      message: v1beta1.writeVersionResponse(version),
    })),
    '/v1beta1.KeyManagementService/Encrypt': call('Encrypt', (message) => {
      const sealed = encryptV1(serving.snapshot, v1beta1.readRequest(message), random)
      message.fill(0)
      return { message: v1beta1.writeResponse(sealed) }
    }),
    '/v1beta1.KeyManagementService/Decrypt': call('Decrypt', (message) => {
      const { plaintext, key } = open(message)
      witness.opened(key)
      return { ...writePlaintext(plaintext, v1beta1.writeResponse), keyId: key.id }
    }),
  }
}

function writePlaintext(plaintext: SecretBytes, write: (bytes: Uint8Array) => Buffer): Answer {
  using owned = plaintext
  return { message: write(owned.expose()), secret: true }
}

/** One method: times it, counts it, translates its errors, and wipes its plaintext. */
function handler(
  name: MethodName,
  deps: KmsGrpcDependencies & { readonly answer: (message: Buffer) => Answer },
): Handler {
  const count = deps.metrics.requests(name)
  return (call, callback) => {
    const startedMs = deps.clock.monotonicMs()
    const done = (code: codes, about: { uid?: string; keyId?: string } = {}): void => {
      const ms = deps.clock.monotonicMs() - startedMs
      count({ code, seconds: ms / 1000 })
      const { uid, keyId } = about
      deps.log.debug('kms.request', { ...name, status: codes[code], ms, uid, keyId })
    }
    let answer: Answer
    try {
      answer = deps.answer(call.request)
    } catch (error) {
      const failure = toGrpcFailure(error)
      if (failure.code === codes.INTERNAL) deps.log.error('kms.internal_error', { ...name }, error)
      callback(failure)
      done(failure.code)
      return
    }
    callback(null, answer)
    if (answer.secret === true && answer.sent === true) answer.message.fill(0)
    done(codes.OK, answer)
  }
}
