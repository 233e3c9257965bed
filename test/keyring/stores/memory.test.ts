import test from 'ava'
import { keyringStoreContract } from '../../contract/keyring-store.ts'
import { emptyMemory, memoryKeyringStore } from '../../support/memory-keyring-store.ts'

keyringStoreContract(test, 'memory', async () => {
  const memory = emptyMemory()
  return () => memoryKeyringStore(memory)
})
