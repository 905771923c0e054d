// Nothing here yet: see the README.
export {}
