package manual

import (
	"fmt"
	"strings"
	"time"
)

// lineWidth is where the lines of a page's source end, in bytes; mandoc warns beyond 80.
const lineWidth = 76

// page is a manual page as it is written, in the macros of man(7).
type page struct {
	name    string
	section int
	begun   bool // the section has a paragraph already
	b       strings.Builder
}

// newPage begins a page. about says in a few words what its name is; date is
// that of the version.
func newPage(name string, section int, about, version string, date time.Time) *page {
	p := &page{name: name, section: section}
	p.raw(fmt.Sprintf(`.TH "%s" "%d" "%s" "%s" "fleettop\(aqs manual"`, escape(strings.ToUpper(name)), section,
		date.UTC().Format(time.DateOnly), escape("fleettop "+version))) // a date with \- is none
	p.head("NAME")
	p.raw(inline(name) + ` \- ` + inline(strings.TrimSuffix(about, ".")))
	return p
}

// file returns the path of the page below a folder of manual pages.
func (p *page) file() string { return fmt.Sprintf("man%d/%s.%d", p.section, p.name, p.section) }

// raw writes a line of source as it is.
func (p *page) raw(line string) { p.b.WriteString(line + "\n") }

// macro writes a macro, and its arguments in quotes.
func (p *page) macro(name string, args ...string) {
	line := "." + name
	for _, arg := range args {
		line += ` "` + strings.ReplaceAll(escape(arg), `"`, `\(dq`) + `"`
	}
	p.raw(line)
}

// head begins a section, sub one below it.
func (p *page) head(title string) {
	p.macro("SH", title)
	p.begun = false
}

func (p *page) sub(title string) {
	p.macro("SS", title)
	p.begun = false
}

// paragraph begins a paragraph, where the section has one already.
func (p *page) paragraph() {
	if p.begun {
		p.raw(".PP")
	}
	p.begun = true
}

// text writes a text for people: paragraphs with an empty line between them, in
// which lines that begin with blanks stand as they are. Words between backquotes
// are in bold type.
func (p *page) text(s string) {
	var words, literal []string
	flush := func() {
		if len(words) > 0 {
			p.paragraph()
			p.prose(strings.Join(words, " "))
		}
		if len(literal) > 0 {
			p.paragraph()
			p.example(literal...)
		}
		words, literal = nil, nil
	}
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, " \t\n")
		line = strings.TrimLeft(line, "#")
		switch {
		case line == "":
			flush()
		case line[0] == '\t' || strings.HasPrefix(line, "  "):
			if len(words) > 0 {
				flush()
			}
			literal = append(literal, strings.TrimSpace(line))
		default:
			if len(literal) > 0 {
				flush()
			}
			words = append(words, strings.TrimSpace(line))
		}
	}
	flush()
}

// prose writes a paragraph, broken into lines of source.
func (p *page) prose(s string) {
	line := ""
	for _, word := range strings.Fields(inline(s)) {
		if line != "" && len(line)+1+len(word) > lineWidth {
			p.raw(line)
			line = ""
		}
		if line == "" {
			line = guard(word)
		} else {
			line += " " + word
		}
	}
	if line != "" {
		p.raw(line)
	}
}

// example writes lines as they are, indented.
func (p *page) example(lines ...string) {
	p.raw(".RS 4")
	p.raw(".nf")
	for _, line := range lines {
		p.raw(guard(escape(line)))
	}
	p.raw(".fi")
	p.raw(".RE")
}

// item writes a term, in source of roff, and the text about it.
func (p *page) item(term, about string) {
	p.begun = true
	p.raw(".TP")
	p.raw(guard(term))
	p.prose(about)
}

// guard keeps a line of text from being taken for a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// inline is escape, with what stands between backquotes in bold type.
func inline(s string) string {
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 { // one without its counterpart is a backquote
		return escape(s)
	}
	for i, part := range parts {
		if parts[i] = escape(part); i%2 == 1 {
			parts[i] = bold(part)
		}
	}
	return strings.Join(parts, "")
}

// bold and italic write text in another type.
func bold(s string) string   { return `\fB` + escape(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }

// escape writes text so that roff prints it unchanged, also to be copied: a
// hyphen as ASCII's, quotes as they are.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '…':
			b.WriteString("...")
		case r > 0x7e:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
