package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
)

// column is a field of a table over rows of type R.
type column[R any] struct {
	name string // as in --fields; the heading is in capitals
	cell func(R) print.Cell
}

// tableFlags are fleet's flags of the list verbs.
type tableFlags struct {
	full     bool
	noLegend bool
	fields   string
}

func (t *tableFlags) register(cmd *cobra.Command, defaults string, all []string) {
	f := cmd.Flags()
	f.BoolVarP(&t.full, "full", "l", false, "don't shorten IDs and hashes")
	f.BoolVar(&t.noLegend, "no-legend", false, "leave out the heading")
	f.StringVar(&t.fields, "fields", defaults, "columns to show: "+strings.Join(all, ","))
	_ = cmd.RegisterFlagCompletionFunc("fields",
		func(_ *cobra.Command, _ []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return moreOf(all, given), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		})
}

// moreOf completes a list between commas by what it doesn't have yet.
func moreOf(all []string, given string) []cobra.Completion {
	before := given[:strings.LastIndexByte(given, ',')+1]
	have := strings.Split(before, ",")
	var words []cobra.Completion
	for _, word := range all {
		if !slices.Contains(have, word) {
			words = append(words, before+word)
		}
	}
	return words
}

func columnNames[R any](columns []column[R]) []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// chosen are the columns --fields asks for, in that order.
func chosen[R any](t *tableFlags, columns []column[R]) ([]column[R], error) {
	var out []column[R]
	for name := range strings.SplitSeq(t.fields, ",") {
		found := false
		for _, c := range columns {
			if c.name == strings.ToLower(strings.TrimSpace(name)) {
				out, found = append(out, c), true
			}
		}
		if !found {
			return nil, usageError{fmt.Errorf("unknown field %q: choose from %s", name,
				strings.Join(columnNames(columns), ", "))}
		}
	}
	return out, nil
}

// printTable prints rows as the flags ask for.
func printTable[R any](a *app, t *tableFlags, columns []column[R], list []R) error {
	rows := make([][]print.Cell, 0, len(list)+1)
	if !t.noLegend {
		head := make([]print.Cell, len(columns))
		for i, c := range columns {
			head[i] = print.Coloured(strings.ToUpper(c.name), print.Bold)
		}
		rows = append(rows, head)
	}
	for _, r := range list {
		row := make([]print.Cell, len(columns))
		for i, c := range columns {
			row[i] = c.cell(r)
		}
		rows = append(rows, row)
	}
	return print.Table(a.out, a.coloured(a.out), rows)
}
