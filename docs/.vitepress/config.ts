import { defineConfig } from 'vitepress'
import { diagrams } from './diagrams.js'

const base = process.env.VQ_DOCS_BASE ?? '/'

export default defineConfig({
  title: 'VQ',
  description: 'Vector quantization for TypeScript, on a native core',
  lang: 'en',
  base,
  outDir: 'dist',
  cacheDir: 'node_modules/.vitepress',
  srcExclude: ['generated/**', 'steps/**'],
  // The reference is made beside the pages, by TypeDoc; steps/links.mjs checks links into it, and anchors.
  ignoreDeadLinks: [/^\/api\//],
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}icon.svg` }]],
  markdown: {
    math: true,
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config: diagrams,
  },
  vite: { build: { chunkSizeWarningLimit: 2000 } },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    docFooter: { prev: 'Before', next: 'Next' },
    externalLinkIcon: true,
    nav: [
      { text: 'Learn', link: '/guide/getting-started', activeMatch: '^/guide/' },
      { text: 'Pipeline', link: '/pipeline/', activeMatch: '^/pipeline/' },
      { text: 'Packages', link: '/packages/core', activeMatch: '^/packages/' },
      { text: 'API', link: '/api/index.html', target: '_self' },
    ],
    sidebar: [
      {
        text: 'Learn',
        items: [
          { text: 'Getting started', link: '/guide/getting-started' },
          { text: 'Learning path', link: '/guide/learning-path' },
          { text: 'Concepts', link: '/guide/concepts' },
          { text: 'Mathematics', link: '/guide/mathematics' },
          { text: 'Coming from PyTorch', link: '/guide/pytorch' },
          { text: 'GPU', link: '/guide/gpu' },
        ],
      },
      {
        text: 'Pipeline',
        items: [
          { text: 'From data to semantic IDs', link: '/pipeline/' },
          { text: 'Templates and architectures', link: '/pipeline/templates' },
          { text: 'Every option', link: '/pipeline/options' },
        ],
      },
      {
        text: 'Packages',
        items: [
          { text: '@vq/core', link: '/packages/core' },
          { text: '@vq/quantizers', link: '/packages/quantizers' },
          { text: '@vq/encoders', link: '/packages/encoders' },
          { text: '@vq/models', link: '/packages/models' },
          { text: '@vq/igpt', link: '/packages/igpt' },
          { text: '@vq/pipeline', link: '/packages/pipeline' },
          { text: '@vq/segmentation', link: '/packages/segmentation' },
        ],
      },
      {
        text: 'Extend',
        items: [
          { text: 'A quantizer', link: '/extend/quantizer' },
          { text: 'An encoder', link: '/extend/encoder' },
          { text: 'A segmentation backbone', link: '/extend/backbone' },
          { text: 'A data set', link: '/extend/dataset' },
          { text: 'A kernel', link: '/extend/kernel' },
        ],
      },
      {
        text: 'Project',
        items: [
          { text: 'Results', link: '/results' },
          { text: 'Benchmarks', link: '/benchmarks' },
          { text: 'Releasing', link: '/releasing' },
          { text: 'API reference', link: '/api/index.html', target: '_self' },
        ],
      },
    ],
  },
})
