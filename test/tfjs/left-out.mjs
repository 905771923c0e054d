/** Specs that are left out: full name → what is wrong with the spec. One that does not exist fails the run. */
export const leftOut = {}
