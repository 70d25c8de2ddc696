package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/tui/tuitest"
)

// sampleEvery is the time between two looks at the terminal of a film.
const sampleEvery = 250 * time.Millisecond

// frame is the terminal from a time of the film on.
type frame struct {
	at    time.Duration
	cells [][]tuitest.Cell
}

// film records the terminal for a time.
func (p *photographer) film(length time.Duration) (frames []frame) {
	began := time.Now()
	for at := time.Duration(0); at < length; at = time.Since(began) {
		frames = append(frames, frame{at, p.Cells()})
		time.Sleep(sampleEvery)
	}
	return frames
}

// span is a part of a film in which a row looks the same, as shares of the film's length.
type span struct{ from, to float64 }

// movingSVG draws a film that begins again and again. Each look of a row is drawn once, and
// shown when the terminal had it.
func movingSVG(frames []frame, length time.Duration) string {
	var b strings.Builder
	cells := frames[0].cells
	open(&b, len(cells[0]), len(cells))
	for row := range cells {
		var looks []string
		spans := map[string][]span{}
		for i, f := range frames {
			var drawn strings.Builder
			drawRow(&drawn, row, f.cells[row])
			look, to := drawn.String(), 1.0
			if i+1 < len(frames) {
				to = float64(frames[i+1].at) / float64(length)
			}
			from, known := float64(f.at)/float64(length), spans[look]
			if n := len(known); n > 0 && known[n-1].to == from {
				known[n-1].to = to
				continue
			}
			if !slices.Contains(looks, look) {
				looks = append(looks, look)
			}
			spans[look] = append(known, span{from, to})
		}
		for _, look := range looks {
			if len(looks) == 1 {
				b.WriteString(look)
				continue
			}
			b.WriteString(`<g visibility="hidden">` + animation(spans[look], length) + "\n" + look + "</g>\n")
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// animation shows a part of a picture in some spans of a film.
func animation(spans []span, length time.Duration) string {
	times, values := []string{"0"}, []string{"hidden"}
	add := func(at float64, value string) {
		if at == 0 {
			values[0] = value
		} else if at < 1 {
			times, values = append(times, fmt.Sprintf("%.4f", at)), append(values, value)
		}
	}
	for _, s := range spans {
		add(s.from, "visible")
		add(s.to, "hidden")
	}
	return fmt.Sprintf(`<animate attributeName="visibility" dur="%.1fs" repeatCount="indefinite" calcMode="discrete" `+
		`keyTimes="%s" values="%s"/>`, length.Seconds(), strings.Join(times, ";"), strings.Join(values, ";"))
}
