//! Pure. The front as a plot: consumers to the right, movement upwards, a dot for each contestant.

use super::axis::Axis;
use super::outcome::{Outcome, cardinal_bin_score};

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug)]
pub enum Horizontal<'a> {
    /// The mean number of consumers.
    Consumers,
    /// The cardinal bin score, relative to the fewest consumers of each step.
    CardinalBinScore { reference: &'a [u32] },
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const CHARACTER: f64 = 6.6;
const LINE: f64 = 13.0;
const DOT: f64 = 4.5;

/// Colours for light and for dark surroundings; the paper is part of the picture, so that it can be
/// read wherever it is shown.
const STYLE: &str = "
text{font:12px system-ui,sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}
.paper{fill:#fff}
.grid{stroke:#d8dee4;stroke-width:1}
.axis{stroke:#6e7781;stroke-width:1;fill:none}
.leader{stroke:#8c959f;stroke-width:.7}
.dot{fill:#57606a}
.ours{fill:#0550ae}
.front{stroke:#0550ae;stroke-width:1.5;fill:none}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.paper{fill:#0d1117}
.grid{stroke:#30363d}
.axis{stroke:#8b949e}
.leader{stroke:#6e7681}
.dot{fill:#9da7b3}
.ours{fill:#6cb6ff}
.front{stroke:#6cb6ff}
}
";

/// A picture in one file, without scripts and fonts of its own. Outcomes whose names begin with
/// `stowage` are joined by a line, from few consumers to many. Lower left is better.
pub fn front(outcomes: &[Outcome], horizontal: Horizontal<'_>) -> String {
    let value = |outcome: &Outcome| match horizontal {
        Horizontal::Consumers => outcome.consumers_mean,
        Horizontal::CardinalBinScore { reference } => {
            cardinal_bin_score(&outcome.consumers, reference)
        }
    };
    let caption = match horizontal {
        Horizontal::Consumers => "consumers (mean)",
        Horizontal::CardinalBinScore { .. } => "cardinal bin score (consumers above the fewest)",
    };
    let x = Axis::around(outcomes.iter().map(value));
    let y = Axis::around(outcomes.iter().map(|outcome| outcome.r_score_mean)).down_to_zero();
    let names: Vec<String> = outcomes.iter().map(name).collect();
    let dots: Vec<Dot<'_>> = outcomes
        .iter()
        .zip(&names)
        .map(|(outcome, name)| Dot {
            name,
            at: (right_of(x, value(outcome)), above(y, outcome.r_score_mean)),
            value: value(outcome),
            r_score: outcome.r_score_mean,
        })
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<title>Consumers against R-score\
         </title>\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\"/>\n"
    );
    svg += &axes(x, y, caption);
    svg += &line_of_ours(&dots);
    svg += &labelled(&dots);
    svg + "</svg>\n"
}

/// With how many of its consumers have too much, where that is more than one in a hundred: few consumers
/// and little movement alone are no success.
fn name(outcome: &Outcome) -> String {
    let percent = outcome.overloaded_share * 100.0;
    let remark = (percent >= 1.0).then(|| format!(" ({percent:.0} % overloaded)"));
    outcome.name.clone() + &remark.unwrap_or_default()
}

struct Dot<'a> {
    name: &'a str,
    at: (f64, f64),
    value: f64,
    r_score: f64,
}

impl Dot<'_> {
    fn is_ours(&self) -> bool {
        self.name.starts_with("stowage")
    }
}

fn right_of(axis: Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn above(axis: Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn axes(horizontal: Axis, vertical: Axis, caption: &str) -> String {
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut svg = text((LEFT, 26.0), "start", "title", "Consumers against R-score");
    for (value, label) in horizontal.ticks() {
        let x = right_of(horizontal, value);
        svg += &line("grid", (x, TOP), (x, floor));
        svg += &text((x, floor + 20.0), "middle", "tick", &label);
    }
    for (value, label) in vertical.ticks() {
        let y = above(vertical, value);
        svg += &line("grid", (LEFT, y), (right, y));
        svg += &text((LEFT - 8.0, y + 4.0), "end", "tick", &label);
    }
    svg += &format!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{floor}H{right}\"/>\n");
    svg += &text((f64::midpoint(LEFT, right), floor + 44.0), "middle", "caption", caption);
    let middle = f64::midpoint(TOP, floor);
    svg += &format!("<g transform=\"translate(20 {middle:.1}) rotate(-90)\">");
    svg += &text((0.0, 0.0), "middle", "caption", "R-score (capacity moved per step, mean)");
    svg + "</g>\n"
}

fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> String {
    let ((x1, y1), (x2, y2)) = (from, to);
    format!(
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
    )
}

fn text(at: (f64, f64), anchor: &str, class: &str, text: &str) -> String {
    let (x, y) = at;
    let text = escaped(text);
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n"
    )
}

/// Where our dots are, from few consumers to many.
fn points_of_ours(dots: &[Dot<'_>]) -> Vec<(f64, f64)> {
    let mut ours: Vec<(f64, f64)> =
        dots.iter().filter(|dot| dot.is_ours()).map(|dot| dot.at).collect();
    ours.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    ours
}

fn line_of_ours(dots: &[Dot<'_>]) -> String {
    let points: Vec<String> =
        points_of_ours(dots).into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!("<polyline class=\"front\" points=\"{}\"/>\n", points.join(" "))
}

/// Dots and names. A name that found its place only at a distance has a line to its dot.
fn labelled(dots: &[Dot<'_>]) -> String {
    let mut svg = String::new();
    let mut taken: Vec<Rectangle> = dots.iter().map(|dot| Rectangle::around(dot.at)).collect();
    taken.extend(along(&points_of_ours(dots)));
    for (own, dot) in dots.iter().enumerate() {
        let (x, y) = dot.at;
        let class = if dot.is_ours() { "ours" } else { "dot" };
        let place = label_place(dot, own, &taken);
        let (middle_x, middle_y) = place.middle();
        if (middle_y - y).abs() > LINE + DOT + 2.0 {
            let (side, edge) = (
                if middle_x < x { place.right } else { place.left },
                if middle_y < y { place.bottom } else { place.top },
            );
            let is_centred = (middle_x - x).abs() < 1.0;
            let end = if is_centred { (middle_x, edge) } else { (side, middle_y) };
            svg += &line("leader", dot.at, end);
        }
        let name = escaped(dot.name);
        svg += &format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\">\
             <title>{name}: {:.4}, R-score {:.4}</title></circle>\n",
            dot.value, dot.r_score
        );
        svg += &text((place.left, place.bottom - 3.0), "start", "name", dot.name);
        taken.push(place);
    }
    svg
}

/// Small rectangles along a line through these points.
fn along(points: &[(f64, f64)]) -> Vec<Rectangle> {
    let mut all = Vec::new();
    for pair in points.windows(2) {
        let [(x1, y1), (x2, y2)] = pair else { continue };
        for part in 0..=100 {
            let share = f64::from(part) / 100.0;
            all.push(Rectangle::around((x1 + share * (x2 - x1), y1 + share * (y2 - y1))));
        }
    }
    all
}

/// The nearest place beside a dot where its name covers nothing that is there already; if there
/// is none, the one where it covers least.
fn label_place(dot: &Dot<'_>, own: usize, taken: &[Rectangle]) -> Rectangle {
    let (x, y) = dot.at;
    let width = dot.name.chars().fold(0.0, |width, _| width + CHARACTER);
    let (right, left, centre) = (x + DOT + 3.0, x - DOT - 3.0 - width, x - width / 2.0);
    let (level, above, below) = (y + LINE / 2.0, y - DOT - 1.0, y + DOT + 1.0 + LINE);
    let around = |ring: i32| {
        let away = f64::from(ring) * LINE;
        [
            (right, level - away),
            (right, level + away),
            (left, level - away),
            (left, level + away),
            (centre, above - away),
            (centre, below + away),
        ]
    };
    let rectangle = |(left, bottom): (f64, f64)| Rectangle {
        left,
        right: left + width,
        top: bottom - LINE,
        bottom,
    };
    let covered = |place: &Rectangle| {
        let others = taken.iter().enumerate().filter(|(index, _)| *index != own);
        let covers = others.filter(|(_, other)| place.overlaps(other)).count();
        if place.is_on_paper() { covers } else { usize::MAX }
    };
    let places = (0..6).flat_map(around).map(rectangle);
    places.min_by_key(covered).unwrap_or_else(|| rectangle((right, level)))
}

/// In pixels, from the upper left.
#[derive(Clone, Copy, Debug)]
struct Rectangle {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Rectangle {
    fn around((x, y): (f64, f64)) -> Self {
        Self { left: x - DOT, right: x + DOT, top: y - DOT, bottom: y + DOT }
    }

    fn middle(&self) -> (f64, f64) {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn is_on_paper(&self) -> bool {
        self.left > LEFT
            && self.right < WIDTH
            && self.top > TOP - LINE
            && self.bottom < HEIGHT - BOTTOM
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::outcome;
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let names = ["bfd", "stowage λ=2", "stowage compact", "range <2 & \"3\">", "mwf"];
        let place = |(index, name): (usize, &str)| {
            let mut outcome = outcome(name, vec![2, 3]);
            outcome.consumers_mean = 10.0 + [0.1, 0.5, 0.0, 0.1, 0.4][index];
            outcome.r_score_mean = [3.2, 0.8, 1.4, 3.2, 1.5][index];
            outcome
        };
        names.into_iter().enumerate().map(place).collect()
    }

    /// Every element that is opened is closed, in order, and nothing is left unescaped.
    #[test]
    fn the_picture_is_well_formed() {
        let svg = front(&outcomes(), Horizontal::CardinalBinScore { reference: &[2, 2] });
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (inside, after) = tag.split_once('>').unwrap();
            assert!(!after.contains('>') && inside.matches('"').count() % 2 == 0, "{tag}");
            let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            if inside.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !inside.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty());
        assert!(svg.contains("range &lt;2 &amp; &quot;3&quot;&gt;") && !svg.contains("NaN"));
        assert!(!svg.contains("<script") && svg.contains("prefers-color-scheme:dark"));
    }

    /// From few consumers to many, whatever the order of the outcomes.
    #[test]
    fn ours_are_joined_from_left_to_right() {
        let svg = front(&outcomes(), Horizontal::Consumers);
        let line = svg.lines().find(|line| line.contains("polyline")).unwrap();
        let points = line.split('"').nth(3).unwrap().split([' ', ',']);
        let numbers: Vec<f64> = points.map(|number| number.parse().unwrap()).collect();
        let [x1, y1, x2, y2] = numbers[..] else { panic!("{line}") };
        assert!(x1 < x2 && y1 < y2, "fewer consumers, more movement: higher up is a smaller y");
    }

    #[test]
    fn whoever_overloads_consumers_is_marked() {
        let mut outcomes = outcomes();
        (outcomes[0].overloaded_share, outcomes[4].overloaded_share) = (0.009, 0.416);
        let svg = front(&outcomes, Horizontal::Consumers);
        assert!(svg.contains(">bfd<") && svg.contains(">mwf (42 % overloaded)<"), "{svg}");
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let (one, other) = ((200.0, 200.0), (203.0, 201.0));
        let dot = |name, at| Dot { name, at, value: 0.0, r_score: 0.0 };
        let mut taken = vec![Rectangle::around(one), Rectangle::around(other)];
        taken.push(label_place(&dot("bfd", one), 0, &taken));
        let second = label_place(&dot("ffd", other), 1, &taken);
        assert!(
            taken
                .iter()
                .enumerate()
                .all(|(index, place)| { index == 1 || !second.overlaps(place) })
        );
    }
}
