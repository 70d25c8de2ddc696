package manual

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fleettop/cmd/fleettop/internal/cli"
)

// program is the page of the program itself.
func (m *manual) program() *page {
	p := m.page("fleettop", 1, "a cluster-wide init system with a terminal console")
	p.head("SYNOPSIS")
	p.raw(`.B fleettop`)
	p.raw(italic("[OPTION...]"))
	p.raw(".br")
	p.raw(`.B fleettop`)
	p.raw(italic("VERB [OPTION...] [ARGUMENT...]"))
	p.head("DESCRIPTION")
	p.text(m.root.Long + "\n\nWithout a verb it opens the console: machines, units, the timeline and logs, live; " +
		"the key `?` shows all keys. Each verb has a page of its own, such as `fleettop-start`(1).")
	p.head("VERBS")
	for _, group := range m.root.Groups() {
		p.sub(strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range m.root.Commands() {
			if cmd.GroupID == group.ID && !cmd.Hidden {
				p.item(synopsis(strings.TrimPrefix(cmd.UseLine(), "fleettop ")), sentence(cmd.Short))
			}
		}
	}
	p.head("OPTIONS")
	p.prose("These are options of all verbs.")
	p.options(m.root.PersistentFlags())
	p.head("EXIT STATUS")
	p.item("0", "It is done.")
	p.item("1", "It failed; with several units, for at least one of them.")
	p.item("2", "The command line is wrong.")
	p.item("128+N", "It was ended by signal N.")
	p.head("ENVIRONMENT")
	p.variables(cli.Variables())
	p.head("FILES")
	for _, f := range files {
		p.item(bold(f.path), f.about)
	}
	p.seeAlso(append(m.verbPages(), unitPage, environmentPage, systemdUnitPage)...)
	return p
}

// files are those that fleettop reads and writes, in the order of the page.
var files = []struct{ path, about string }{
	{"/etc/fleettop/key", "The cluster's key. Only root may read it."},
	{"/etc/fleettop/fleettop.env", "The daemon's options, see `fleettop.env`(5)."},
	{"/run/fleettop/fleettop.sock", "The daemon's socket for root and the group `fleettop`, who may change things."},
	{"/run/fleettop/fleettop-view.sock", "The daemon's socket for the group `fleettop-view`, who may look."},
	{"/run/fleettop/units", "The unit files of the units that the cluster has given to this machine."},
	{"/var/lib/fleettop", "The daemon's state, which survives a reboot."},
	{"~/.config/fleettop/config.toml", "A person's settings for the console: keys, theme, clusters."},
}

// verb is the page of a verb.
func (m *manual) verb(cmd *cobra.Command) *page {
	p := m.page(pageName(cmd), 1, lowerFirst(cmd.Short))
	p.head("SYNOPSIS")
	if cmd.Runnable() {
		p.raw(synopsis(cmd.UseLine()))
	} else {
		p.raw(synopsis(cmd.CommandPath() + " VERB"))
	}
	p.head("DESCRIPTION")
	if cmd.Long != "" {
		p.text(cmd.Long)
	} else {
		p.text(sentence(cmd.Short))
	}
	if cmd.HasAvailableSubCommands() {
		p.head("VERBS")
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				p.item(bold(sub.Name()), sentence(sub.Short)+" See `"+pageName(sub)+"`(1).")
			}
		}
	}
	p.head("OPTIONS")
	p.options(cmd.LocalNonPersistentFlags())
	p.paragraph()
	p.prose("The options of all verbs are in `fleettop`(1).")
	if cmd.Example != "" {
		p.head("EXAMPLES")
		var lines []string
		for line := range strings.Lines(cmd.Example) {
			lines = append(lines, strings.TrimSpace(line))
		}
		p.example(lines...)
	}
	p.head("EXIT STATUS")
	p.prose("0 if it is done, 1 if it failed, 2 if the command line is wrong, and 128+N if signal N ended it.")
	also := []reference{programPage}
	switch {
	case cmd.HasParent() && cmd.Parent() != m.root:
		also = append(also, reference{pageName(cmd.Parent()), "1"})
	case cmd.Name() == "daemon":
		also = append(also, environmentPage)
	case cmd.GroupID == "units":
		also = append(also, unitPage)
	}
	p.seeAlso(also...)
	return p
}

// verbPages refers to the pages of all verbs, sorted.
func (m *manual) verbPages() []reference {
	var all []reference
	for _, cmd := range commands(m.root) {
		all = append(all, reference{pageName(cmd), "1"})
	}
	slices.SortFunc(all, func(a, b reference) int { return strings.Compare(a.name, b.name) })
	return all
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// options writes flags, sorted by name.
func (p *page) options(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, about := pflag.UnquoteUsage(f)
		term := bold("--" + f.Name)
		if f.Shorthand != "" {
			term = bold("-"+f.Shorthand) + ", " + term
		}
		if value != "" {
			term += " " + italic(value)
		}
		if def := cli.DefaultOf(f); def != "" && !strings.Contains(about, "(default") {
			about += " (default " + def + ")"
		}
		p.item(term, about)
	})
}

// variables writes environment variables.
func (p *page) variables(list []cli.Variable) {
	for _, v := range list {
		p.item(bold(v.Name), v.Doc)
	}
}

// synopsis writes a command line: words in capitals or brackets are for others to
// be put there.
func synopsis(line string) string {
	words := strings.Fields(strings.ReplaceAll(line, "[flags]", "[OPTION...]"))
	for i, word := range words {
		if strings.IndexFunc(word, unicode.IsLower) < 0 || strings.HasPrefix(word, "[") {
			words[i] = italic(word)
		} else {
			words[i] = bold(word)
		}
	}
	return strings.Join(words, " ")
}

// sentence makes a sentence of a short text: a capital letter, and a full stop.
func sentence(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// lowerFirst writes the first letter small, for what follows a name and a dash.
func lowerFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[size:]
}
