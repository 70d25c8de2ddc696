// Package fleetv1 is the wire of fleet's HTTP API, version 1, as clients of CoreOS fleet speak it:
// its types, its pages, and a client for what can be listed. Package server answers it.
//
// Its paths are under /fleet/v1, and the same under /v1-alpha. Bodies are JSON with the keys in
// alphabetical order. A list comes in pages of PageSize; an empty one is {}. An error is {"error":
// {"code", "message"}}, where the code is the HTTP status.
package fleetv1
