// Fills the list from the containerized backend.
const status = document.getElementById("status");

try {
  const response = await fetch("/api/widgets");
  if (!response.ok) {
    throw new Error(`HTTP ${response.status}: ${response.statusText}`);
  }
  const widgets = await response.json();
  for (const widget of widgets) {
    const item = document.createElement("li");
    item.textContent = `${widget.name} (ID: ${widget.id})`;
    document.getElementById("widgets").append(item);
  }
  status.textContent = widgets.length ? "" : "No widgets found.";
} catch (error) {
  status.textContent = error.message;
}
