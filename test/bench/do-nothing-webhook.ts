#!/usr/bin/env node
// The yardstick of admission: an HTTPS server of the same runtime that reads a review and allows it.
// Whatever latchkey-webhook costs beyond it, on the same machine in the same run, is our doing.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'

const [host = '', cert = '', key = ''] = process.argv.slice(2)
const server = createServer(
  { cert: readFileSync(cert), key: readFileSync(key) },
  (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
        request: { uid: string }
      }
      const { uid } = review.request
      const answer = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ ...answer, response: { uid, allowed: true } }))
    })
  },
)
server.listen(8443, host)
process.once('SIGTERM', () => {
  server.closeAllConnections()
  server.close()
})
