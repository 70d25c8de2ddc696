// Command fleettop is the cluster-wide init system and its command line: the
// daemon, fleet's verbs, and the demo.
package main

import (
	"os"

	"fleettop/cmd/fleettop/internal/cli"
)

// Set by the linker: -X main.version=… -X main.commit=…
var (
	version string
	commit  string
)

func main() { os.Exit(cli.Main(cli.Build{Version: version, Commit: commit})) }
