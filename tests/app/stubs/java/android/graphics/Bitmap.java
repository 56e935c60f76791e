package android.graphics;

public final class Bitmap {
    public enum Config {
        ARGB_8888
    }

    private final int width;
    private final int height;
    private final int[] pixels;

    private Bitmap(int width, int height) {
        this.width = width;
        this.height = height;
        pixels = new int[width * height];
    }

    public static Bitmap createBitmap(int width, int height, Config config) {
        return new Bitmap(width, height);
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public void getPixels(int[] into, int offset, int stride, int x, int y, int width, int height) {
        for (int row = 0; row < height; row++) System.arraycopy(pixels, (y + row) * this.width + x, into, offset + row * stride, width);
    }

    public void setPixels(int[] from, int offset, int stride, int x, int y, int width, int height) {
        for (int row = 0; row < height; row++) System.arraycopy(from, offset + row * stride, pixels, (y + row) * this.width + x, width);
    }
}
