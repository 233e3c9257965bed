import test from 'ava'
import { annexContract } from '../../contract/annex.ts'
import { memoryAnnex, type AnnexMemory } from '../../support/memory-annex.ts'

annexContract(test, 'memory', async () => {
  const memory: AnnexMemory = { entries: new Map(), locks: new Set() }
  return () => memoryAnnex(memory)
})
