import type { Annex } from '../keyring/annex.ts'
import type { AdminContext, EtcdKeyringFlags } from './context.ts'

/** Runs `body` with what stands beside the keyring that the flags name. Throws as `openAnnex`. */
export async function withAnnex<Result>(
  context: Pick<AdminContext, 'openAnnex'>,
  flags: EtcdKeyringFlags & { readonly keyring: string },
  body: (annex: Annex) => Promise<Result>,
): Promise<Result> {
  const annex = await context.openAnnex(flags.keyring, flags)
  try {
    return await body(annex)
  } finally {
    annex.close?.()
  }
}
