import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { buildWithGo } from './go-build.ts'
import { type Tool, type ToolName, tools } from './tools.ts'

const found = new Map<ToolName, Promise<string>>()

/**
 * Path of a real server or client program: from `KUBEBUILDER_ASSETS` when that directory holds it,
 * as is the custom of the Kubernetes ecosystem, else built with Go and cached.
 */
export async function binary(name: ToolName): Promise<string> {
  const path = found.get(name) ?? locate(tools[name])
  found.set(name, path)
  return await path
}

async function locate(tool: Tool): Promise<string> {
  const assets = process.env['KUBEBUILDER_ASSETS'] ?? ''
  if (assets !== '' && tool.fromAssets) {
    const path = join(assets, tool.executable)
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (usable) return path
  }
  return await buildWithGo(tool)
}
