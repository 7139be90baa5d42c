"use strict";
/* The only place where elements are made. Whatever comes from a trajectory enters the page as text, here, and never as
   HTML: a model may write anything. */

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a child that is a text stays one. */
function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** A number in three digits; a whole one as it is. */
function short(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3))).replace("-", "−");
}

/** "tools_untrained" as people read it. */
function words(name) {
  return name.replaceAll("_", " ");
}
