// Every link, image and anchor of the built site leads somewhere. Addresses of other hosts are not fetched.
import { LinkChecker, LinkState } from 'linkinator'

/** Throws with the list of what is broken. */
export async function checkLinks(folder) {
  const { links } = await new LinkChecker().check({
    path: ['/'],
    serverRoot: folder,
    recurse: true,
    checkFragments: true,
    concurrency: 20,
    linksToSkip: ['^https?://(?!localhost)', '^mailto:'],
  })
  const broken = links.filter(link => link.state === LinkState.BROKEN)
  if (broken.length > 0)
    throw new Error(
      `${broken.length} broken links:\n${broken
        .map(({ url, parent }) => `  ${url}\n    on ${parent}`)
        .slice(0, 50)
        .join('\n')}`,
    )
  console.log(`${links.filter(link => link.state === LinkState.OK).length} links lead somewhere`)
}
