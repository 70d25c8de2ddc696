package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
)

// Build is what the linker was told of the binary; empty strings where it was told nothing.
type Build struct {
	Version string
	Commit  string
}

// resolve returns what this binary was built from: what the linker was told, else
// what the Go tool noted.
func (b Build) resolve() (ver, rev string) {
	ver, rev = b.Version, b.Commit
	info, ok := debug.ReadBuildInfo()
	if ok {
		ver = cmp.Or(ver, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				rev = cmp.Or(rev, s.Value)
			}
		}
	}
	return cmp.Or(ver, "unknown"), cmp.Or(rev, "unknown")
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the version of Go",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			ver, rev := a.build.resolve()
			if a.json() {
				return print.JSON(a.out, map[string]string{"version": ver, "commit": rev, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.out,
				"fleettop version %s\ncommit %s\n%s %s/%s\n", ver, rev, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
