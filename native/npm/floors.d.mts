export declare const floors: Readonly<Record<'GLIBC' | 'GLIBCXX' | 'CXXABI', string>>
export declare function tooNew(listing: string): string[]
export declare function tooNewIn(path: string): string[]
