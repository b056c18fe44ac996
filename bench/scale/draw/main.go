// Command draw draws the charts of bench/scale, as SVG for light and dark backgrounds. It is a module of its own, to
// keep its dependencies out of the broker's module.
//
//	go run . --into FOLDER < charts.json
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is one file, as written by bench/scale.
type chart struct {
	File   string  `json:"file"` // without extension
	Title  string  `json:"title"`
	X      string  `json:"x"`
	Y      string  `json:"y"`
	Curves []curve `json:"curves"`
}

type curve struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

func main() {
	into := flag.String("into", ".", "folder to write the files into")
	flag.Parse()
	if err := run(*into); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func run(into string) error {
	var charts []chart
	if err := json.NewDecoder(os.Stdin).Decode(&charts); err != nil {
		return fmt.Errorf("read the charts: %w", err)
	}
	var problems []error
	for i := range charts {
		if err := charts[i].draw(filepath.Join(into, charts[i].File+".svg")); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", charts[i].File, err))
		}
	}
	return errors.Join(problems...)
}

// Colours of middle lightness contrast with white and black; there is no background.
var (
	ink    = color.RGBA{R: 0x80, G: 0x86, B: 0x8f, A: 0xff}
	faint  = color.NRGBA{R: 0x80, G: 0x86, B: 0x8f, A: 0x40}
	colors = []color.Color{
		color.RGBA{R: 0x3b, G: 0x82, B: 0xf6, A: 0xff}, color.RGBA{R: 0xe8, G: 0x7a, B: 0x17, A: 0xff},
		color.RGBA{R: 0x10, G: 0xa3, B: 0x6f, A: 0xff}, color.RGBA{R: 0xc0, G: 0x5a, B: 0xc8, A: 0xff},
	}
)

func (c *chart) draw(file string) error {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	p.Title.TextStyle.Color = ink
	p.Title.TextStyle.Font.Variant = "Sans"
	p.Title.TextStyle.Font.Size = font.Points(13)
	p.Title.Padding = vg.Points(8)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color, axis.Tick.Color, axis.Tick.Label.Color = ink, ink, ink, ink
		axis.Label.TextStyle.Font.Variant, axis.Tick.Label.Font.Variant = "Sans", "Sans"
		axis.Scale, axis.Tick.Marker = plot.LogScale{}, decades{}
	}
	p.Legend.TextStyle.Color, p.Legend.TextStyle.Font.Variant, p.Legend.Top = ink, "Sans", true
	p.Legend.Padding = vg.Points(3)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)
	for i := range c.Curves {
		if err := c.Curves[i].add(p, i); err != nil {
			return err
		}
	}
	if p.Y.Max < 100*p.Y.Min { // at least two decades, so that small changes look small
		p.Y.Min /= 4
	}
	p.Y.Max *= 4 // room for the curves' names
	return save(p, file)
}

func save(p *plot.Plot, file string) error {
	image, err := p.WriterTo(vg.Points(560), vg.Points(340), "svg")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := image.WriteTo(&text); err != nil {
		return err
	}
	named := bytes.ReplaceAll(text.Bytes(), []byte("Liberation Sans"), []byte("Liberation Sans,Arial,sans-serif"))
	return os.WriteFile(file, named, 0o644)
}

func (c *curve) add(p *plot.Plot, i int) error {
	var points plotter.XYs
	for _, x := range c.Points {
		if x[0] > 0 && x[1] > 0 {
			points = append(points, plotter.XY{X: x[0], Y: x[1]})
		}
	}
	if len(points) == 0 {
		return nil
	}
	line, marks, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, marks.Color = colors[i%len(colors)], colors[i%len(colors)]
	line.Width = vg.Points(1.5)
	marks.Shape, marks.Radius = draw.CircleGlyph{}, vg.Points(2.5)
	if i > 0 {
		marks.Shape = plotutil.Shape(i)
	}
	p.Add(line, marks)
	p.Legend.Add(c.Name, line, marks)
	return nil
}

// decades marks the powers of ten, and halves them where there are few.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for decade := 1e-6; decade <= high; decade *= 10 {
		for _, times := range []float64{1, 2, 5} {
			at := decade * times
			if at < low*0.999 || at > high*1.001 {
				continue
			}
			t := plot.Tick{Value: at}
			if times == 1 || high/low < 300 {
				t.Label = short(at)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// short formats a round number.
func short(x float64) string {
	for _, unit := range []struct {
		in   float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if x >= unit.in*0.999 {
			return fmt.Sprintf("%.3g%s", x/unit.in, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", x)
}
