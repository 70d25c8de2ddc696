package manual

import (
	"maps"
	"slices"
	"time"

	"fleettop/cmd/fleettop/internal/cli"
	"github.com/spf13/cobra"
)

// Edition is what the pages say of the version they are of.
type Edition struct {
	Version string
	Date    time.Time
}

// Pages returns all pages, by their paths below a folder of manual pages such as
// /usr/share/man: man1/fleettop.1, man5/fleettop-unit.5 and so on.
func Pages(e Edition) map[string][]byte {
	m := manual{edition: e, root: cli.Reference(cli.Build{Version: e.Version})}
	pages := []*page{m.program(), m.unitFile(), m.environmentFile()}
	for _, cmd := range commands(m.root) {
		pages = append(pages, m.verb(cmd))
	}
	files := map[string][]byte{}
	for _, p := range pages {
		files[p.file()] = []byte(p.b.String())
	}
	return files
}

// Paths returns the paths of pages, sorted.
func Paths(pages map[string][]byte) []string { return slices.Sorted(maps.Keys(pages)) }

// manual makes the pages of one edition.
type manual struct {
	edition Edition
	root    *cobra.Command
}

func (m *manual) page(name string, section int, about string) *page {
	return newPage(name, section, about, m.edition.Version, m.edition.Date)
}

// commands returns all commands below one that people use, each before those below it.
func commands(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			all = append(append(all, c), commands(c)...)
		}
	}
	return all
}

// seeAlso writes the last section: these pages, in this order.
func (p *page) seeAlso(pages ...reference) {
	p.head("SEE ALSO")
	text := ""
	for i, ref := range pages {
		if i > 0 {
			text += ", "
		}
		text += "`" + ref.name + "`(" + ref.section + ")"
	}
	p.prose(text)
}

// reference names another page.
type reference struct{ name, section string }

// The pages that others refer to.
var (
	programPage     = reference{"fleettop", "1"}
	daemonPage      = reference{"fleettop-daemon", "1"}
	unitPage        = reference{"fleettop-unit", "5"}
	environmentPage = reference{"fleettop.env", "5"}
	systemdUnitPage = reference{"systemd.unit", "5"}
)
